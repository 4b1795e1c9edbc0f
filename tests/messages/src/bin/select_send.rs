//! The two ends of a channel are mixed up.

use rustlet::channel::{bounded, select};

fn main() {
    let (sender, receiver) = bounded(1);
    select! {
        send(receiver, 1) -> _ => (), //~ is not a sender, so `select!` cannot send through it
        recv(sender) -> _ => (), //~ is not a receiver, so `select!` cannot wait for it
    }
    drop(sender.send(1));
}
