//! The examples that run once and print their results: `crawler`, `pulse`, `pingpong`, `sleepy`,
//! `delegation`, `ipc`.

use super::program::output_of;

#[test]
fn crawler() {
    let args = ["--requests", "20", "--latency", "1", "--runs", "2"];
    let Some(said) = output_of("crawler", &args) else {
        return;
    };
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "20 requests that take 1 ms each");
    for (line, way) in lines[2..].iter().zip([
        "one after the other",
        "a process each",
        "an OS thread each",
        "a green thread each",
    ]) {
        let columns: Vec<&str> = line.strip_prefix(way).unwrap().split_whitespace().collect();
        let [elapsed, "s", cpu, "s", memory, "MB", speed_up] = columns[..] else {
            panic!("{line}");
        };
        for number in [elapsed, cpu, memory, speed_up.strip_suffix('×').unwrap()] {
            assert!(number.parse::<f64>().is_ok(), "{line}");
        }
    }
    assert_eq!(lines.len(), 6, "{said}");
}

#[test]
fn pulse() {
    let Some(said) = output_of("pulse", &["300"]) else {
        return;
    };
    let lines: Vec<&str> = said.lines().collect();
    for pulse in ["fast ", "slow "] {
        let beats = lines
            .iter()
            .filter_map(|line| line.trim_start().strip_prefix(pulse));
        let beats: Vec<usize> = beats.map(|beat| beat.parse().unwrap()).collect();
        assert_eq!(beats, (1..=beats.len()).collect::<Vec<_>>(), "{said}");
    }
    let beats = lines.len() - 1;
    assert_eq!(lines[beats], format!("time is up after {beats} beats"));
}

#[test]
fn pingpong() {
    for last in [0, 1, 1000] {
        let Some(said) = output_of("pingpong", &[&last.to_string()]) else {
            return;
        };
        let counted: String = (1..=last).map(|number| format!("{number}\n")).collect();
        assert_eq!(said, counted + "both have ended\n");
    }
}

#[test]
fn sleepy() {
    // All of them have to be asleep before the first is due; a machine that is busy may need longer
    // for that.
    let mut said = String::new();
    for unit in [1, 20, 200] {
        let numbers = [30, 4, 20, 4, 0].map(|number| (number * unit).to_string());
        let numbers = numbers.each_ref().map(String::as_str);
        let Some(output) = output_of("sleepy", &numbers) else {
            return;
        };
        said = output;
        let [most, two, much, _, none] = numbers;
        let sum = 58 * unit;
        let sorted = format!("{none}\n{two}\n{two}\n{much}\n{most}\nslept {sum} ms in ");
        if said.starts_with(&sorted) {
            return;
        }
    }
    panic!("{said}");
}

#[test]
fn delegation() {
    let Some(said) = output_of("delegation", &[]) else {
        return;
    };
    // The spawned thread may run on another worker, beside its parent.
    let (beside, alone): (Vec<&str>, Vec<&str>) =
        said.lines().partition(|line| line.contains("spawned: "));
    assert_eq!(
        beside,
        ["  spawned: started", "  spawned: resumed"],
        "{said}"
    );
    let expected = "\
parent: a plain call
  called: started
  called: resumed
parent: the child returned 42
parent: a thread beside me
parent: goes on meanwhile
parent: the child returned 43
parent: a child that fails, in its own child
  middle: started
    failing: started
  middle: passes the panic on
parent: caught 'an example of a failure'";
    assert_eq!(alone.join("\n"), expected, "{said}");
    let position = |line| said.find(line).unwrap();
    assert!(
        position("a thread beside me") < position("spawned: started"),
        "{said}"
    );
    assert!(
        position("spawned: resumed") < position("returned 43"),
        "{said}"
    );
}

#[test]
fn ipc() {
    let Some(said) = output_of("ipc", &[]) else {
        return;
    };
    let answers = "  6 * 7 = 42\n  1 + 2 + 3 = 6\n  what? = I do not know\n";
    let expected = format!(
        "in one process:\n{answers}in two processes:\n{answers}the other process: exit status: 0\n"
    );
    assert_eq!(said, expected);
}

#[test]
fn wait_for_anything() {
    let Some(said) = output_of("wait_for_anything", &[]) else {
        return;
    };
    for line in [
        "a message",
        "a timer",
        "a child",
        "a signal",
        "a socket",
        "the end of a thread",
        "all of them",
    ] {
        assert_eq!(said.matches(line).count(), 1, "{line}:\n{said}");
    }
}
