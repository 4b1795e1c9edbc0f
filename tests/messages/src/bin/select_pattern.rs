//! A pattern that is not of a result.

use rustlet::channel::{bounded, select};

fn main() {
    let (_sender, receiver) = bounded::<u8>(1);
    select! {
        recv(receiver) -> Some(_byte) => (), //~ mismatched types
        default => (),
    }
}
