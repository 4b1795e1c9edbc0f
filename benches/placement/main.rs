//! A model of placement on machines of 2 to 256 workers:
//! `cargo bench --manifest-path benches/Cargo.toml --bench placement`.
//!
//! Virtual workers, a clock that jumps from event to event, and the policy's own source. The model
//! contains everything that decides where a thread starts: records of sites, queues, sleeping and
//! waking, stealing, and that a started thread stays. It omits locks, caches, and the cost of a
//! spawn. The times of a wake-up (30 µs) and of a worker's search for work (1 µs) are fixed.
//!
//! Policies: `sites` is the one in use; `local` starts each thread on the spawner's worker unless
//! it has waited there for 50 µs, as before; `counts` starts each thread on the worker with the
//! fewest live threads.

#[allow(
    dead_code,
    reason = "the worker needs parts of the policy that a model does not"
)]
#[path = "../../src/runtime/placement/policy.rs"]
mod placement;

use std::collections::{BinaryHeap, HashMap, VecDeque};

use placement::{Conduct, Deferral, Parked, Placement, Record, Sample, SharedPlacement, View};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const WAKE_UP: u64 = 30 * US;
const LOOK: u64 = US;
/// Time of a message to a thread of the same worker, and to one of another.
const MESSAGE: u64 = 100;
const MESSAGE_ACROSS: u64 = US;
/// A thread that has not started for this long is taken by an idle worker.
const STEAL_AFTER_NS: u64 = 50 * US;
/// The same for a thread that was placed.
const PLACED_STEAL_AFTER: u64 = 10 * MS;
/// How many threads that were not placed an idle worker takes at once, at most.
const MAX_STOLEN: usize = 256;

/// One step of a thread.
#[derive(Clone, Debug)]
enum Act {
    /// It computes for this time.
    Compute(u64),
    /// It spawns threads of this kind.
    Spawn(usize),
    /// It waits until this moment.
    Until(u64),
    /// It sends a message to the others of its group (the kinds of this number), and waits for
    /// theirs: the time of a message, which is longer if one of them is on another worker.
    Exchange(usize),
    /// It waits until all threads that it has spawned have ended.
    Join,
}

/// A kind of thread: its spawn site, and its steps.
#[derive(Clone, Debug)]
struct Kind {
    site: usize,
    acts: Vec<Act>,
}

/// The present wait of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Nothing,
    Threads,
    Else,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Sites,
    Local,
    Counts,
}

struct Thread {
    kind: usize,
    next: usize,
    parent: Option<usize>,
    children: usize,
    joins: bool,
    spawned: u64,
    started: Option<u64>,
    ended: bool,
    placed: bool,
    worker: usize,
    waits: Wait,
    sample: Option<Sample>,
}

#[derive(Default)]
struct Worker {
    ready: VecDeque<usize>,
    own: VecDeque<usize>,
    shared: VecDeque<usize>,
    /// Whether it is awake: false while it sleeps.
    awake: bool,
    waking: bool,
    deferring: Option<u64>,
    live: usize,
    newcomers: usize,
    busy: u64,
    got: usize,
    looks_at: u64,
    cursors: HashMap<usize, u16>,
    /// The spawner of the last shared thread, how many of the shared ones were of unknown sites,
    /// and whether they must be looked at again.
    spawner: usize,
    unknown: usize,
    undecided: bool,
    starts_next: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The worker continues.
    Worker(usize),
    /// The thread is woken.
    Thread(usize),
}

struct World<'a> {
    kinds: &'a [Kind],
    policy: Policy,
    now: u64,
    events: BinaryHeap<std::cmp::Reverse<(u64, u64, Event)>>,
    serial: u64,
    threads: Vec<Thread>,
    workers: Vec<Worker>,
    records: HashMap<usize, Record>,
    wake_ups: u64,
    across: u64,
    messages: u64,
}

impl<'a> World<'a> {
    fn new(kinds: &'a [Kind], workers: usize, policy: Policy) -> World<'a> {
        let mut world = World {
            kinds,
            policy,
            now: 0,
            events: BinaryHeap::new(),
            serial: 0,
            threads: Vec::new(),
            workers: (0..workers).map(|_| Worker::default()).collect(),
            records: HashMap::new(),
            wake_ups: 0,
            across: 0,
            messages: 0,
        };
        let main = world.thread(0, None);
        world.workers[0].own.push_back(main);
        world.wake(0);
        world
    }

    fn thread(&mut self, kind: usize, parent: Option<usize>) -> usize {
        self.threads.push(Thread {
            kind,
            next: 0,
            parent,
            children: 0,
            joins: false,
            spawned: self.now,
            started: None,
            ended: false,
            placed: false,
            worker: 0,
            waits: Wait::Nothing,
            sample: None,
        });
        self.threads.len() - 1
    }

    fn at(&mut self, time: u64, event: Event) {
        self.serial += 1;
        self.events
            .push(std::cmp::Reverse((time, self.serial, event)));
    }

    fn wake(&mut self, index: usize) {
        let worker = &mut self.workers[index];
        if !worker.awake && !worker.waking {
            worker.waking = true;
            self.wake_ups += 1;
            self.at(self.now + WAKE_UP, Event::Worker(index));
        }
    }

    /// Wakes the sleeping worker with the fewest live threads, except these two.
    fn wake_one(&mut self, except: usize, nor: usize) {
        let count = self.workers.len();
        let sleeping = (1..count)
            .map(|offset| (except + count - offset) % count)
            .filter(|&index| index != nor)
            .filter(|&index| !self.workers[index].awake && !self.workers[index].waking)
            .take(8)
            .min_by_key(|&index| self.workers[index].live + self.workers[index].newcomers);
        if let Some(index) = sleeping {
            self.wake(index);
        }
    }

    fn view(&self, index: usize, own: usize) -> View {
        let worker = &self.workers[index];
        let mut live = worker.live + worker.newcomers;
        if index == own {
            live += worker.own.len().saturating_sub(worker.newcomers);
        }
        View {
            live,
            queued: worker.own.len(),
            is_stuck: false,
        }
    }

    fn spawn(&mut self, own: usize, parent: usize, kind: usize) {
        let thread = self.thread(kind, Some(parent));
        self.threads[parent].children += 1;
        let site = self.kinds[kind].site;
        let place = match self.policy {
            Policy::Local => Placement::Local,
            Policy::Counts => {
                let all = 0..self.workers.len();
                let fewest = all.min_by_key(|&index| (self.view(index, own).live, index != own));
                Placement::At(fewest.unwrap_or(own))
            }
            Policy::Sites => {
                let record = *self.records.entry(site).or_insert(Record::NEW);
                let mut cursor = self.workers[own].cursors.get(&site).copied().unwrap_or(0);
                let workers = self.workers.len();
                let queued = self.workers[own].own.len();
                let shared = self.workers[own].shared.len();
                let view = |index| self.view(index, own);
                let place =
                    placement::place(record, own, queued, shared, &mut cursor, workers, view);
                if !matches!(record.conduct(), Conduct::Short | Conduct::Computes) {
                    self.records.insert(site, record.spawned_by(own));
                }
                self.workers[own].cursors.insert(site, cursor);
                place
            }
        };
        self.put(own, parent, thread, place);
    }

    fn put(&mut self, own: usize, parent: usize, thread: usize, place: Placement) {
        match place {
            Placement::Local => {
                self.workers[own].own.push_back(thread);
                // A worker checks whether it gets old.
                self.wake_one(own, own);
            }
            Placement::Shared => {
                self.workers[own].shared.push_back(thread);
                self.workers[own].deferring = None;
                self.workers[own].undecided = true;
                self.workers[own].spawner = parent;
                self.wake_one(own, own);
            }
            Placement::At(index) => {
                self.threads[thread].placed = true;
                self.workers[index].newcomers += 1;
                self.workers[index].own.push_back(thread);
                self.wake(index);
            }
        }
    }

    /// Runs one thread until it waits or ends; returns how long it computes.
    fn step(&mut self, index: usize, thread: usize) -> u64 {
        let first = self.threads[thread].started.is_none();
        if first {
            self.threads[thread].started = Some(self.now);
            self.threads[thread].worker = index;
            self.workers[index].live += 1;
            self.workers[index].got += 1;
            if self.threads[thread].placed {
                self.workers[index].newcomers -= 1;
            }
        }
        let kinds = self.kinds;
        let kind = &kinds[self.threads[thread].kind];
        let mut took = 0;
        self.threads[thread].waits = Wait::Nothing;
        let has_ended = loop {
            let Some(act) = kind.acts.get(self.threads[thread].next) else {
                break true;
            };
            self.threads[thread].next += 1;
            match *act {
                Act::Compute(time) => took += time,
                Act::Exchange(group) => {
                    let same = self.threads.iter().filter(|other| {
                        !other.ended
                            && kinds[other.kind]
                                .acts
                                .iter()
                                .any(|act| matches!(act, Act::Exchange(number) if *number == group))
                    });
                    let is_across = same
                        .take(16)
                        .any(|other| other.started.is_some() && other.worker != index);
                    self.messages += 1;
                    self.across += u64::from(is_across);
                    let time = if is_across { MESSAGE_ACROSS } else { MESSAGE };
                    self.threads[thread].waits = Wait::Threads;
                    self.at(self.now + took + time, Event::Thread(thread));
                    break false;
                }
                Act::Spawn(kind) => self.spawn(index, thread, kind),
                Act::Until(time) if time > self.now + took => {
                    self.threads[thread].waits = Wait::Else;
                    self.at(time, Event::Thread(thread));
                    break false;
                }
                Act::Join if self.threads[thread].children > 0 => {
                    self.threads[thread].joins = true;
                    self.threads[thread].waits = Wait::Threads;
                    break false;
                }
                Act::Until(_) | Act::Join => {}
            }
        };
        if first {
            let shown = Conduct::shown(took, has_ended, false);
            let record = self.records.entry(kind.site).or_insert(Record::NEW);
            if record.conduct() == Conduct::Unknown {
                self.workers[index].undecided = true;
            }
            *record = record.observed(shown);
            self.threads[thread].sample = Some(Sample(0));
        } else if let Some(sample) = self.threads[thread].sample {
            let is_exchange = self.threads[thread].waits == Wait::Threads;
            let sample = sample.with(took, is_exchange);
            self.threads[thread].sample = Some(sample);
            if let Some(talks) = sample.talks() {
                self.threads[thread].sample = None;
                let record = self.records.entry(kind.site).or_insert(Record::NEW);
                *record = record.sampled(talks);
            }
        }
        if has_ended {
            self.threads[thread].ended = true;
            self.workers[index].live -= 1;
            if let Some(parent) = self.threads[thread].parent {
                self.threads[parent].children -= 1;
                if self.threads[parent].children == 0 && self.threads[parent].joins {
                    self.threads[parent].joins = false;
                    self.at(self.now + took, Event::Thread(parent));
                }
            }
        }
        took
    }

    /// Returns which threads wait on the worker, as far as that matters to its shared threads.
    fn parked(&self, index: usize) -> Parked {
        let worker = &self.workers[index];
        let spawner = &self.threads[worker.spawner];
        match (worker.live, spawner.waits) {
            (0, _) => Parked::Nothing,
            (1, Wait::Threads) if spawner.worker == index && spawner.joins => Parked::Joiner,
            _ => Parked::Others,
        }
    }

    /// Decides again about the worker's shared threads when it has nothing else to run.
    fn reconsider_shared(&mut self, index: usize) {
        if !std::mem::take(&mut self.workers[index].undecided) {
            return;
        }
        let parked = self.parked(index);
        let shared = std::mem::take(&mut self.workers[index].shared);
        let is_only = shared.len() == 1;
        let (mut unknown, mut waiting) = (0, Vec::new());
        for (number, thread) in shared.into_iter().enumerate() {
            let site = self.kinds[self.threads[thread].kind].site;
            let record = *self.records.entry(site).or_insert(Record::NEW);
            let live = self.workers[index].live;
            // The first shared thread of its spawner is joined first.
            match placement::place_shared(record, parked, number == 0, is_only, live) {
                SharedPlacement::Here => self.workers[index].own.push_back(thread),
                SharedPlacement::Reconsider => waiting.push((thread, record, site)),
                SharedPlacement::Shared => {
                    unknown += usize::from(record.conduct() == Conduct::Unknown);
                    self.workers[index].shared.push_back(thread);
                }
            }
        }
        for (thread, record, site) in waiting {
            let own = &self.workers[index];
            let (queued, shared) = (own.own.len(), own.shared.len());
            let mut cursor = own.cursors.get(&site).copied().unwrap_or(0);
            let count = self.workers.len();
            let view = |other| self.view(other, index);
            let place = match shared {
                0 => placement::place(record, index, queued, 0, &mut cursor, count, view),
                _ => Placement::At(index),
            };
            self.workers[index].cursors.insert(site, cursor);
            let parent = self.threads[thread].parent.unwrap_or(0);
            self.put(index, parent, thread, place);
        }
        self.workers[index].undecided = false;
        self.workers[index].unknown = unknown;
    }

    /// Returns the thread that the worker starts or steals next.
    fn next(&mut self, index: usize) -> Option<usize> {
        // Spawned threads take turns with ready ones.
        let is_turn = std::mem::take(&mut self.workers[index].starts_next);
        let has_new = !self.workers[index].own.is_empty();
        if !(is_turn && has_new)
            && let Some(thread) = self.workers[index].ready.pop_front()
        {
            self.workers[index].starts_next = true;
            return Some(thread);
        }
        if let Some(thread) = self.workers[index].own.pop_front() {
            return Some(thread);
        }
        let count = self.workers.len();
        let others = || (1..count).map(move |offset| (index + offset) % count);
        if self.policy == Policy::Sites {
            self.reconsider_shared(index);
            if let Some(thread) = self.workers[index].own.pop_front() {
                return Some(thread);
            }
            if !self.workers[index].shared.is_empty() {
                let others = others().filter(|&other| !self.workers[other].awake);
                let deferral = Deferral {
                    shared: self.workers[index].shared.len(),
                    unknown: self.workers[index]
                        .unknown
                        .min(self.workers[index].shared.len()),
                    idle: others.count(),
                    parked: self.parked(index),
                    deferred: self.workers[index]
                        .deferring
                        .map_or(0, |since| self.now - since),
                };
                if deferral.starts() {
                    self.workers[index].deferring = None;
                    return self.workers[index].shared.pop_front();
                }
                let left = deferral.limit_ns() - deferral.deferred;
                if self.workers[index].deferring.is_none() {
                    self.workers[index].deferring = Some(self.now);
                    self.wake_one(index, index);
                }
                // It checks now and then whether other workers take them.
                self.at(self.now + left.min(100 * US), Event::Worker(index));
            }
            if let Some(other) = others().find(|&other| !self.workers[other].shared.is_empty()) {
                let taken = self.workers[other].shared.pop_front();
                if others().any(|other| !self.workers[other].shared.is_empty()) {
                    self.wake_one(index, other);
                }
                return taken;
            }
        }
        // Takes some of the threads that have waited too long elsewhere.
        let mut soonest = u64::MAX;
        for other in others() {
            let Some(&oldest) = self.workers[other].own.front() else {
                continue;
            };
            let age = self.now - self.threads[oldest].spawned;
            let limit = if self.threads[oldest].placed {
                PLACED_STEAL_AFTER
            } else {
                STEAL_AFTER_NS
            };
            if age < limit {
                soonest = soonest.min(self.now + limit - age);
                continue;
            }
            let half = self.workers[other].own.len().div_ceil(2);
            let count = if self.threads[oldest].placed {
                half
            } else {
                half.min(MAX_STOLEN)
            };
            for _ in 0..count {
                if let Some(taken) = self.workers[other].own.pop_front() {
                    if self.threads[taken].placed {
                        self.workers[other].newcomers -= 1;
                        self.workers[index].newcomers += 1;
                    }
                    self.workers[index].own.push_back(taken);
                }
            }
            return self.workers[index].own.pop_front();
        }
        if soonest != u64::MAX && self.workers[index].looks_at != soonest {
            self.workers[index].looks_at = soonest;
            self.at(soonest, Event::Worker(index));
        }
        None
    }

    fn run(mut self) -> Outcome {
        while let Some(std::cmp::Reverse((time, _, event))) = self.events.pop() {
            self.now = time;
            match event {
                Event::Thread(thread) => {
                    let index = self.threads[thread].worker;
                    self.workers[index].ready.push_back(thread);
                    self.wake(index);
                }
                Event::Worker(index) => {
                    self.workers[index].waking = false;
                    if self.workers[index].busy > self.now {
                        continue;
                    }
                    match self.next(index) {
                        Some(thread) => {
                            self.workers[index].awake = true;
                            let took = self.step(index, thread);
                            let until = self.now + took + LOOK / 10;
                            self.workers[index].busy = until;
                            self.at(until, Event::Worker(index));
                        }
                        None => self.workers[index].awake = false,
                    }
                }
            }
        }
        let mut waits: Vec<u64> = self
            .threads
            .iter()
            .map(|thread| thread.started.unwrap_or(u64::MAX) - thread.spawned)
            .collect();
        waits.sort_unstable();
        let most = self.workers.iter().map(|worker| worker.got).max();
        Outcome {
            makespan: self.now,
            worst: most.unwrap_or(0) as f64 * self.workers.len() as f64 / self.threads.len() as f64,
            wake_ups: self.wake_ups,
            late: waits[waits.len() * 99 / 100],
            across: self.across as f64 / self.messages.max(1) as f64,
        }
    }
}

struct Outcome {
    makespan: u64,
    worst: f64,
    wake_ups: u64,
    late: u64,
    across: f64,
}

/// The traces; the first kind is `main`.
fn traces(workers: usize) -> Vec<(&'static str, Vec<Kind>)> {
    let kind = |site, acts| Kind { site, acts };
    let main = |acts: Vec<Act>| kind(0, acts);
    let many = |count: usize, which| vec![Act::Spawn(which); count];
    let then_join = |mut acts: Vec<Act>| {
        acts.push(Act::Join);
        acts
    };
    let jobs = |from: u64, count: u64, time: u64, apart: u64| {
        (0..count)
            .flat_map(|n| [Act::Until(from + n * apart), Act::Compute(time)])
            .collect::<Vec<_>>()
    };
    let talk = |group: usize, count: usize| {
        (0..count)
            .flat_map(|_| [Act::Compute(50), Act::Exchange(group)])
            .collect::<Vec<_>>()
    };
    // Every second connection of one site becomes busy, long after its start.
    let mixed = (0..workers * 16).map(|n| Act::Spawn(1 + n % 2));
    let mixed = then_join(mixed.collect());
    let tree = |times: usize| {
        let once = then_join(many(4, 1));
        (0..times).flat_map(|_| once.clone()).collect::<Vec<_>>()
    };
    vec![
        (
            "pool",
            vec![
                main(then_join(many(workers * 4, 1))),
                kind(1, jobs(20 * MS, 20, 5 * MS, 5 * MS)),
            ],
        ),
        (
            "accept burst, 10,000",
            vec![
                main(then_join(many(10_000, 1))),
                kind(1, jobs(50 * MS, 3, 20 * US, MS)),
            ],
        ),
        (
            "pool, jobs of 1 µs",
            vec![
                main(then_join(many(workers * 4, 1))),
                kind(1, jobs(20 * MS, 200, US, 10 * US)),
            ],
        ),
        (
            "ping-pong, 20 pairs in turn",
            vec![
                main(
                    (0..20)
                        .flat_map(|_| [Act::Spawn(1), Act::Spawn(2), Act::Join])
                        .collect(),
                ),
                kind(1, talk(1, 1_000)),
                kind(2, talk(1, 1_000)),
            ],
        ),
        (
            "fork-join tree, once",
            vec![
                main(tree(1)),
                kind(1, then_join(many(8, 2))),
                kind(1, then_join(many(8, 3))),
                kind(1, vec![Act::Compute(100 * US)]),
            ],
        ),
        (
            "fork-join tree, ten times",
            vec![
                main(tree(10)),
                kind(1, then_join(many(8, 2))),
                kind(1, then_join(many(8, 3))),
                kind(1, vec![Act::Compute(100 * US)]),
            ],
        ),
        (
            "pipeline of 8 sites",
            std::iter::once(main(then_join((1..=8).map(Act::Spawn).collect())))
                .chain((1..=8).map(|site| kind(site, jobs(MS, 100, 50 * US, 100 * US))))
                .collect(),
        ),
        (
            "1,000 actors",
            vec![
                main(then_join(many(1_000, 1))),
                kind(1, jobs(10 * MS, 10, 10 * US, MS)),
            ],
        ),
        (
            "connections turn hot",
            vec![
                main(mixed),
                kind(1, vec![Act::Until(100 * MS)]),
                kind(1, jobs(20 * MS, 20, 500 * US, MS)),
            ],
        ),
    ]
}

fn main() {
    println!(
        "worst: threads of the fullest worker, as a multiple of an even share. late: start after spawn, 99 of 100. \
         across: messages to another worker.\n"
    );
    println!("| workers | trace | policy | ends after ms | worst | wake-ups | late µs | across |");
    println!("|--:|---|---|--:|--:|--:|--:|--:|");
    for workers in [2, 4, 16, 64, 256] {
        for (name, kinds) in traces(workers) {
            for (policy, text) in [
                (Policy::Sites, "sites"),
                (Policy::Local, "local"),
                (Policy::Counts, "counts"),
            ] {
                let outcome = World::new(&kinds, workers, policy).run();
                println!(
                    "| {workers} | {name} | {text} | {:.1} | {:.2} | {} | {:.0} | {:.2} |",
                    outcome.makespan as f64 / MS as f64,
                    outcome.worst,
                    outcome.wake_ups,
                    outcome.late as f64 / US as f64,
                    outcome.across,
                );
            }
        }
    }
}
