//! The same seed gives the same run.

use std::process::Command;
use std::time::Duration;

use rustlet::channel::{Receiver, Sender, bounded, select, tick};
use rustlet::sync::atomic::{AtomicU64, Ordering};
use rustlet::sync::{Arc, Condvar, Mutex, RwLock, Semaphore};
use rustlet::testing::{Simulation, note};

/// A program that uses most of what can be waited for.
fn program() {
    let (sender, receiver) = bounded::<u64>(2);
    let counter = Arc::new(AtomicU64::new(0));
    let table = Arc::new(RwLock::new(Vec::new()));
    let permits = Arc::new(Semaphore::new(2));
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let (sender, counter) = (sender.clone(), counter.clone());
            let (table, permits, gate) = (table.clone(), permits.clone(), gate.clone());
            rustlet::thread::Builder::new()
                .name(format!("worker {number}"))
                .spawn(move || work(number, &sender, &counter, &table, &permits, &gate))
                .unwrap()
        })
        .collect();
    drop(sender);
    rustlet::sleep(Duration::from_millis(3));
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    note(format!("received {}", receive(&receiver)));
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(table.read().unwrap().len(), 4);
}

fn work(
    number: u64,
    sender: &Sender<u64>,
    counter: &AtomicU64,
    table: &RwLock<Vec<u64>>,
    permits: &Semaphore,
    gate: &(Mutex<bool>, Condvar),
) {
    let mut open = gate.0.lock().unwrap();
    while !*open {
        open = gate.1.wait(open).unwrap();
    }
    drop(open);
    let permit = permits.acquire();
    let _late = rustlet::timeout(Duration::from_millis(number), || {
        rustlet::sleep(Duration::from_millis(2));
    });
    drop(permit);
    table
        .write()
        .unwrap()
        .push(counter.fetch_add(1, Ordering::Relaxed));
    sender.send(number).unwrap();
}

fn receive(receiver: &Receiver<u64>) -> u64 {
    let ticks = tick(Duration::from_millis(1));
    let mut sum = 0;
    loop {
        select! {
            recv(receiver) -> message => match message {
                Ok(number) => sum += number,
                Err(_) => return sum,
            },
            recv(ticks) -> _ => rustlet::yield_now(),
        }
    }
}

fn events(seed: u64) -> String {
    let recording = Simulation::new().seed(seed).record(program);
    assert_eq!(recording.failure, None);
    assert!(recording.is_exact);
    recording.events
}

#[test]
fn same_seed_gives_the_same_events() {
    for seed in 0..20 {
        assert_eq!(events(seed), events(seed));
    }
    let different: std::collections::BTreeSet<_> = (0..20).map(events).collect();
    assert_eq!(different.len(), 20);
}

#[test]
fn same_seed_gives_the_same_events_in_two_processes() {
    const CHILD: &str = "RUSTLET_TEST_EVENTS";
    let own: Vec<String> = (0..10).map(events).collect();
    if let Ok(path) = std::env::var(CHILD) {
        std::fs::write(path, own.concat()).unwrap();
        return;
    }
    let path = std::env::temp_dir().join(format!("rustlet-events-{}", std::process::id()));
    let status = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "replay::same_seed_gives_the_same_events_in_two_processes",
        ])
        .env(CHILD, &path)
        // Another layout of the environment and of the stacks.
        .env("RUSTLET_STACK_SIZE", "2097152")
        .status()
        .unwrap();
    assert!(status.success());
    let others = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(own.concat(), others);
}

/// A hash of the events without the lines of the source, which each edit changes.
fn hash(events: &str) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    for (index, piece) in events.split(".rs:").enumerate() {
        let piece = match index {
            0 => piece,
            _ => piece.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == ':'),
        };
        for byte in piece.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }
    hash
}

/// A debug build and a release build compare themselves with the same number.
#[test]
fn events_do_not_depend_on_the_build() {
    let events: String = (0..10).map(events).collect();
    assert_eq!(
        hash(&events),
        HASH,
        "the schedules have changed: {:#x}",
        hash(&events)
    );
}

/// Changes when the operations of the library, or the random numbers of a seed, change.
const HASH: u64 = 0x9236_3a10_7b6b_1fe0;
