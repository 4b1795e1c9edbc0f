//! A time is waited for with a receiver.

use rustlet::channel::{select_biased, unbounded};
use std::time::Duration;

fn main() {
    let (_sender, receiver) = unbounded::<u8>();
    select_biased! {
        recv(receiver) -> _ => (),
        recv(Duration::from_secs(1)) -> _ => (), //~ is not a receiver, so `select!` cannot wait for it
        //? `after(duration)`, `at(instant)` or `tick(period)`
    }
}
