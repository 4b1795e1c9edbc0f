//! Dumps, metrics and reports as JSON, by the feature `serde`.

use rustlet::runtime::{Builder, OnDeadlock};
use rustlet::sync::{Arc, Mutex};
use rustlet::thread;
use serde_json::{Value, json};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn describe() -> serde_json::Result<()> {
    let runtime = Builder::new()
        .workers(2)
        .name("json")
        .build()
        .expect("a runtime");
    let (dump, metrics) = runtime.run(|| {
        let mutex = Arc::new(Mutex::new(()));
        let guard = mutex.lock();
        let its = Arc::clone(&mutex);
        let locking = thread::Builder::new().name("locking".into());
        let locking = locking.spawn(move || drop(its.lock())).expect("a thread");
        let (sender, receiver) = rustlet::channel::bounded::<u8>(3);
        let receiving = rustlet::spawn(move || receiver.recv_timeout(HOUR));
        let dump = loop {
            let dump = rustlet::dump();
            if dump
                .threads
                .iter()
                .filter(|thread| thread.waits_for.is_some())
                .count()
                == 2
            {
                break dump;
            }
            rustlet::yield_now();
        };
        drop((guard, sender));
        locking.join().expect("it ends");
        receiving.join().expect("it ends").expect_err("no message");
        (
            dump,
            rustlet::runtime::Handle::current()
                .expect("a runtime")
                .metrics(),
        )
    });

    // Through the text, as a reader sees it.
    let dump: Value = serde_json::from_str(&serde_json::to_string(&dump)?)?;
    let worker = &dump["workers"][0];
    assert_eq!(worker["runtime"], "json");
    assert!(
        worker["os_thread"].is_i64() && worker["sleeps"].is_boolean(),
        "{worker}"
    );
    let find = |name: Value, waits_in: &str| {
        let threads = dump["threads"].as_array().expect("an array");
        let is_it = |thread: &&Value| thread["name"] == name && thread["waits_in"] == waits_in;
        threads
            .iter()
            .find(is_it)
            .unwrap_or_else(|| panic!("{dump:#}"))
    };
    let locking = find(json!("locking"), "Mutex::lock");
    assert_eq!(locking["state"], "waiting");
    let main = dump["threads"][0]["id"].clone();
    assert_eq!(
        locking["waits_for"],
        json!({"kind": "lock_of", "id": main, "name": "main"})
    );
    let place = locking["waits_at"].as_str().expect("a place");
    assert!(place.starts_with("src/json.rs:"), "{place}");
    assert!(
        locking["stack_used"].as_u64() < locking["stack_size"].as_u64(),
        "{locking}"
    );
    let receiving = find(Value::Null, "recv");
    let state = json!({"len": 0, "capacity": 3, "senders_waiting": 0, "receivers_waiting": 1});
    assert_eq!(receiving["waits_for"]["kind"], "channel");
    assert_eq!(receiving["waits_for"]["state"], state);
    let limit = receiving["limit"].as_f64().expect("a number of seconds");
    assert!((1.0..=3600.0).contains(&limit), "{receiving}");

    let metrics = serde_json::to_value(&metrics)?;
    assert_eq!(metrics["workers"], 2);
    let worker = &metrics["per_worker"][1];
    assert!(
        worker["busy"].is_f64() && worker["steps"].is_u64(),
        "{worker}"
    );
    let buckets = worker["scheduling_latency"]["buckets"]
        .as_array()
        .expect("an array");
    assert_eq!(buckets[0]["up_to"], 1e-6);
    assert_eq!(buckets.last().expect("the last")["up_to"], Value::Null);
    assert!(
        metrics["stacks"]["reserved"].as_u64() > Some(0),
        "{metrics}"
    );
    reports()
}

/// A report goes to a log as one line of JSON.
fn reports() -> serde_json::Result<()> {
    let (log, logged) = std::sync::mpsc::channel();
    let builder = Builder::new().workers(1).on_deadlock(OnDeadlock::Panic);
    let builder = builder.on_report(move |report| {
        log.send(serde_json::to_string(report)).expect("it is read");
    });
    let runtime = builder.build().expect("a runtime");
    let deadlocked = std::panic::catch_unwind(|| {
        runtime.run(|| {
            let mutex = Mutex::new(());
            let _first = mutex.lock();
            let _second = mutex.lock();
        })
    });
    deadlocked.expect_err("a deadlock");
    let line = logged.recv().expect("a report")?;
    let report: Value = serde_json::from_str(&line)?;
    assert_eq!(report["kind"], "deadlock");
    assert!(
        report["text"]
            .as_str()
            .is_some_and(|text| text.contains("waits for itself"))
    );
    Ok(())
}
