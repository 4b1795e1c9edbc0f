//! The call instead of a closure.

use std::time::Duration;

fn main() {
    let (_sender, receiver) = rustlet::channel::unbounded::<u8>();
    let _byte = rustlet::timeout(Duration::from_secs(1), receiver.recv()); //~ expected a `FnOnce()` closure
    //? wrap the
}
