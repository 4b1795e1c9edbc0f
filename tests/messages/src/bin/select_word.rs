//! Another word than `recv`, `send` and `default`.

use rustlet::channel::{bounded, select};

fn main() {
    let (_sender, receiver) = bounded::<u8>(1);
    select! {
        receive(receiver) -> _ => (),
    }
    //? expected `recv(receiver) -> pattern => body`, `send(sender, message) -> pattern => body`
    //? (receiver) -> _ => ()
}
