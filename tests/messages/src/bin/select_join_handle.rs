//! The end of a thread is waited for with its receiver.

use rustlet::channel::{select, unbounded};

fn main() {
    let (_sender, receiver) = unbounded::<u8>();
    let handle = rustlet::spawn(|| 1);
    select! {
        recv(receiver) -> _ => {}
        recv(handle) -> _ => {} //~ is not a receiver, so `select!` cannot wait for it
        //? `.done()` of a join handle
    }
}
