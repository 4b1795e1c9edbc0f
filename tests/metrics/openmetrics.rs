//! The text form: what OpenMetrics asks of it, as far as it can be checked line by line.

use std::collections::HashMap;

/// Checks the text and returns the samples, by name with labels.
pub(crate) fn parse(text: &str) -> HashMap<String, f64> {
    let body = text.strip_suffix("# EOF\n").expect("it ends with EOF");
    assert!(!body.contains("# EOF"));
    let mut types: HashMap<&str, &str> = HashMap::new();
    let mut family = "";
    let mut samples = HashMap::new();
    for line in body.lines() {
        if let Some(meta) = line.strip_prefix("# ") {
            let mut words = meta.splitn(3, ' ');
            let mut word = || words.next().unwrap_or_else(|| panic!("{line}"));
            match (word(), word(), word()) {
                ("TYPE", name, kind) => {
                    assert!(name.starts_with("rustlet_"), "{line}");
                    assert!(types.insert(name, kind).is_none(), "twice: {line}");
                    family = name;
                }
                ("UNIT", name, unit) => assert!(name == family && name.ends_with(unit), "{line}"),
                ("HELP", name, help) => assert!(name == family && help.ends_with('.'), "{line}"),
                _ => panic!("{line}"),
            }
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let bare = name.split('{').next().unwrap();
        let suffix = bare
            .strip_prefix(family)
            .unwrap_or_else(|| panic!("{line} in {family}"));
        let is_valid = match types[family] {
            "gauge" => suffix.is_empty(),
            "counter" => suffix == "_total",
            "histogram" => ["_bucket", "_count", "_sum"].contains(&suffix),
            other => panic!("{other}"),
        };
        assert!(is_valid, "{line} in the {} {family}", types[family]);
        let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(
            samples.insert(name.to_owned(), value).is_none(),
            "twice: {line}"
        );
    }
    samples
}

#[test]
fn the_text_is_well_formed_and_says_what_the_values_say() {
    let runtime = super::runtime(2);
    runtime.run(|| {
        for _ in 0..20 {
            rustlet::spawn(rustlet::yield_now).join().unwrap();
        }
        rustlet::sleep(std::time::Duration::from_micros(1));
        rustlet::unblock(|| {});
    });
    let metrics = super::until(&runtime, |metrics| metrics.live == 0);
    let samples = parse(&metrics.to_openmetrics());
    let value = |name: &str| {
        samples
            .get(name)
            .copied()
            .unwrap_or_else(|| panic!("{name}"))
    };
    assert_eq!(value("rustlet_workers"), 2.0);
    assert_eq!(value("rustlet_threads_spawned_total"), 21.0);
    assert_eq!(value("rustlet_threads_ended_total"), 21.0);
    assert_eq!(value("rustlet_threads_alive"), 0.0);
    assert_eq!(value("rustlet_pool_calls_total"), 1.0);
    assert_eq!(
        value("rustlet_stack_deepest_bytes"),
        metrics.stacks.deepest as f64
    );
    for (index, worker) in metrics.per_worker.iter().enumerate() {
        let of_worker = |name: &str| value(&format!("rustlet_worker_{name}{{worker=\"{index}\"}}"));
        assert_eq!(of_worker("steps_total"), worker.steps as f64);
        assert_eq!(of_worker("busy_seconds_total"), worker.busy.as_secs_f64());
        let latency = &worker.scheduling_latency;
        let bucket = |le: &str| {
            let name = "rustlet_worker_scheduling_latency_seconds_bucket";
            value(&format!("{name}{{worker=\"{index}\",le=\"{le}\"}}"))
        };
        assert_eq!(bucket("+Inf"), latency.count as f64);
        let up_to: u64 = latency.buckets[..3].iter().map(|bucket| bucket.count).sum();
        assert_eq!(bucket("5e-06"), up_to as f64);
        assert_eq!(
            of_worker("scheduling_latency_seconds_count"),
            latency.count as f64
        );
    }
}
