//! Formatting, and conversions between types.

use super::channel::{
    RecvError, RecvTimeoutError, Select, SelectTimeoutError, SendError, SendTimeoutError,
    TryRecvError, TrySelectError, TrySendError, never, unbounded,
};
use std::error::Error;

fn shows(error: &(impl Error + 'static), debug: &str, text: &str) {
    assert_eq!(format!("{error:?}"), debug);
    assert_eq!(error.to_string(), text);
    assert_eq!(format!("{error:>60}").trim_start(), text);
}

#[test]
fn errors() {
    let gone = "sending on a disconnected channel";
    shows(&SendError(1), "\"SendError(..)\"", gone);
    shows(&TrySendError::Full(1), "\"Full(..)\"", "sending on a full channel");
    shows(&TrySendError::Disconnected(1), "\"Disconnected(..)\"", gone);
    let late = "timed out waiting on send operation";
    shows(&SendTimeoutError::Timeout(1), "\"SendTimeoutError(..)\"", late);
    shows(&SendTimeoutError::Disconnected(1), "\"SendTimeoutError(..)\"", gone);
    let over = "receiving on an empty and disconnected channel";
    shows(&RecvError, "RecvError", over);
    shows(&TryRecvError::Empty, "Empty", "receiving on an empty channel");
    shows(&TryRecvError::Disconnected, "Disconnected", over);
    let late = "timed out waiting on receive operation";
    shows(&RecvTimeoutError::Timeout, "Timeout", late);
    let over = "channel is empty and disconnected";
    shows(&RecvTimeoutError::Disconnected, "Disconnected", over);
    shows(&TrySelectError, "TrySelectError", "all operations in select would block");
    shows(&SelectTimeoutError, "SelectTimeoutError", "timed out waiting on select");
}

#[test]
fn texts_of_errors() {
    assert_eq!(SendError(1).into_inner(), 1);
    assert_eq!(TrySendError::from(SendError(1)), TrySendError::Disconnected(1));
    assert_eq!(SendTimeoutError::from(SendError(1)), SendTimeoutError::Disconnected(1));
    assert_eq!(TryRecvError::from(RecvError), TryRecvError::Disconnected);
    assert_eq!(RecvTimeoutError::from(RecvError), RecvTimeoutError::Disconnected);
    assert!(TrySendError::Full(1).is_full() && !TrySendError::Full(1).is_disconnected());
    assert!(SendTimeoutError::Timeout(1).is_timeout());
    assert!(!SendTimeoutError::Timeout(1).is_disconnected());
    assert!(TryRecvError::Empty.is_empty() && TryRecvError::Disconnected.is_disconnected());
    assert!(RecvTimeoutError::Timeout.is_timeout());
    assert!(RecvTimeoutError::Disconnected.is_disconnected());
}

#[test]
fn handles() {
    let (sender, receiver) = unbounded::<i32>();
    assert_eq!(format!("{sender:?}"), "Sender { .. }");
    assert_eq!(format!("{receiver:?}"), "Receiver { .. }");
    assert_eq!(format!("{:?}", receiver.iter()), "Iter { .. }");
    assert_eq!(format!("{:?}", receiver.try_iter()), "TryIter { .. }");
    assert_eq!(format!("{:?}", receiver.clone().into_iter()), "IntoIter { .. }");
    assert_eq!(format!("{:?}", never::<i32>()), "Receiver { .. }");
    let mut list = Select::new();
    list.send(&sender);
    assert_eq!(format!("{list:?}"), "Select { .. }");
    let chosen = list.select();
    assert_eq!(format!("{chosen:?}"), "SelectedOperation { .. }");
    chosen.send(&sender, 1).unwrap();
}
