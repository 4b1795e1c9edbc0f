//! A game loop that drives green threads by hand: each creature is one, and says what it does next as a plain program.
//!
//! ```console
//! $ cargo run --example worker_loop
//! ```
//!
//! The creatures and the loop share the board through an `Rc`: they are all on this one OS thread. In each frame every creature that
//! is ready takes one step, then the board is drawn. The run checks itself: the hare, which naps, loses.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use rustlet::{Worker, sleep, yield_now};

const TRACK: usize = 24;

/// Where everybody is, by name, and who has arrived.
#[derive(Default)]
struct Board {
    places: Vec<(&'static str, usize)>,
    arrived: Vec<&'static str>,
}

fn main() {
    Worker::scope(play);
}

fn play(worker: &Worker) {
    let board = Rc::new(RefCell::new(Board::default()));

    race(worker, &board, "tortoise", |_| yield_now());
    let watched = Rc::clone(&board);
    race(worker, &board, "hare", move |place| {
        while place == TRACK / 2 && watched.borrow().arrived.is_empty() {
            sleep(Duration::from_millis(50)); // one more nap; the loop goes on meanwhile
        }
        if place % 3 == 0 {
            yield_now();
        }
    });

    let mut frames = 0;
    while worker.live() > 0 {
        // One step for each that is ready; a bound, because someone who yields is ready again at once.
        for _ in 0..worker.live() {
            worker.tick();
        }
        draw(&board.borrow());
        frames += 1;
        sleep(Duration::from_millis(2)); // blocks this OS thread, until the display wants the next frame
    }

    let board = board.borrow();
    println!("{frames} frames; arrived: {}", board.arrived.join(", "));
    assert_eq!(board.arrived, ["tortoise", "hare"]);
    assert!(frames >= TRACK);
}

/// Puts a creature on the board, which runs and does as `between` says between two places.
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
