//! The examples that end by themselves do what they say.

mod support;

#[path = "../examples/wait_for_anything.rs"]
mod wait_for_anything;

#[test]
fn one_select_waits_for_anything() {
    // Alone: it sends a signal to its process.
    let output = support::child("one_select_waits_for_anything", || {
        wait_for_anything::main().expect("the example ends well");
    });
    support::succeeded(&output);
    let told = String::from_utf8_lossy(&output.stdout);
    for line in [
        "a message",
        "a timer",
        "a child",
        "a signal",
        "a socket",
        "the end of a thread",
        "all of them",
    ] {
        assert_eq!(told.matches(line).count(), 1, "{line}:\n{told}");
    }
}
