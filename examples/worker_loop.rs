//! A game loop that steps green threads by hand: each creature is one green thread.
//!
//! What it shows: a [`Worker`] inside another loop. The creatures and the loop share the board
//! through an `Rc`, because all of them run on this OS thread. In each frame every creature that is
//! ready takes one step, then the board is drawn. The program checks itself: the hare, which naps,
//! loses.
//!
//! ```sh
//! cargo run --release --example worker_loop
//! ```
//!
//! To try: a third creature, or a hare that does not nap.

mod support;

use rustlet::{Worker, sleep, yield_now};

use std::cell::RefCell;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

const HELP: &str = "\
[--help]

Races a tortoise and a hare, which are green threads in a game loop.";

const TRACK: usize = 24;

/// The creatures with their positions, and those that have arrived.
#[derive(Default)]
struct Board {
    places: Vec<(&'static str, usize)>,
    arrived: Vec<&'static str>,
}

fn main() -> ExitCode {
    support::main(HELP, |args| {
        args.end()?;
        Worker::scope(play);
        Ok(())
    })
}

fn play(worker: &Worker) {
    let board = Rc::new(RefCell::new(Board::default()));

    race(worker, &board, "tortoise", |_| yield_now());
    let watched = Rc::clone(&board);
    race(worker, &board, "hare", move |place| {
        while place == TRACK / 2 && watched.borrow().arrived.is_empty() {
            sleep(Duration::from_millis(50)); // another nap; the loop goes on meanwhile
        }
        if place % 3 == 0 {
            yield_now();
        }
    });

    let mut frames = 0;
    while worker.live() > 0 {
        // One step for each ready creature. The bound is needed: after a yield it is ready again at
        // once.
        for _ in 0..worker.live() {
            worker.tick();
        }
        draw(&board.borrow());
        frames += 1;
        sleep(Duration::from_millis(2)); // outside of a green thread: blocks this OS thread until the next frame
    }

    let board = board.borrow();
    println!("{frames} frames; arrived: {}", board.arrived.join(", "));
    assert_eq!(board.arrived, ["tortoise", "hare"]);
    assert!(frames >= TRACK);
}

/// Puts a creature on the board. It runs along the track and calls `between` at each position.
fn race(
    worker: &Worker,
    board: &Rc<RefCell<Board>>,
    name: &'static str,
    between: impl Fn(usize) + 'static,
) {
    let board = Rc::clone(board);
    let index = board.borrow().places.len();
    board.borrow_mut().places.push((name, 0));
    worker.assign(move || {
        for place in 1..=TRACK {
            between(place);
            board.borrow_mut().places[index].1 = place;
        }
        board.borrow_mut().arrived.push(name);
    });
}

fn draw(board: &Board) {
    let lanes = board.places.iter().map(|&(name, place)| {
        let initial = &name[..1];
        format!(
            "|{}{initial}{}|",
            ".".repeat(place),
            ".".repeat(TRACK - place)
        )
    });
    println!("{}", lanes.collect::<Vec<_>>().join(" "));
}
