//! The call instead of a closure.

use std::time::Duration;

fn main() {
    let (_sender, receiver) = rustlet::channel::unbounded::<u8>();
    //? wrap the
    let call = receiver.recv();
    let _byte = rustlet::timeout(Duration::from_secs(1), call); //~ expected a `FnOnce()` closure
}
