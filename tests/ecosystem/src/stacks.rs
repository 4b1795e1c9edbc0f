//! Recursive crates on a stack of the default size: in a debug build their frames are several times
//! as large, and the default is too.

use regex::Regex;
use serde_json::Value;

/// What std's 2 MiB carry in practice; the limits of serde_json and regex themselves are not much
/// higher.
pub(crate) fn recurse() {
    let json = rustlet::spawn(|| {
        let text = format!("{}{}", "[".repeat(120), "]".repeat(120));
        let value: Value = serde_json::from_str(&text).expect("it is valid");
        assert_eq!(value.to_string(), text);
    });
    let regex = rustlet::spawn(|| {
        let text = format!("{}a{}", "(".repeat(200), ")".repeat(200));
        assert!(Regex::new(&text).expect("it is valid").is_match("a"));
    });
    json.join().expect("serde_json");
    regex.join().expect("regex");
}
