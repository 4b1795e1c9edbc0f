//! Through a pointer, too.

use rustlet::channel::select;
use rustlet::sync::{Arc, Event};

fn main() {
    let event = Arc::new(Event::new());
    select! {
        recv(event) -> _ => (), //~ is not a receiver, so `select!` cannot wait for it
        //? `.receiver()` of an event
        default => (),
    }
}
