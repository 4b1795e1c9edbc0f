//! Checks a trace against the Trace Event Format that Chrome documents, as far as rustlet uses it:
//! the object format, complete events (`X`), flow events (`s`, `f`) and metadata (`M`).

use std::collections::{BTreeMap, BTreeSet};

use super::json::Json;

type Check = Result<(), String>;

/// Returns an error unless the document is as the format describes.
pub(crate) fn check(trace: &Json) -> Check {
    let fields = map(trace)?;
    for (key, value) in fields {
        match key.as_str() {
            "traceEvents" => {}
            "displayTimeUnit" => ensure(
                matches!(value, Json::Text(unit) if ["ms", "ns"].contains(&unit.as_str())),
                || format!("unit {value:?}"),
            )?,
            "otherData" => drop(map(value)?),
            _ => return Err(format!("a field {key} that the format does not have")),
        }
    }
    let Some(Json::List(events)) = fields.get("traceEvents") else {
        return Err("no list of events".to_owned());
    };
    let mut flows = Flows::default();
    let mut processes = BTreeSet::new();
    let (mut used, mut named) = (BTreeSet::new(), BTreeSet::new());
    for event in events {
        let described = |error| format!("{error}: {event:?}");
        processes.insert(check_event(event, &mut flows).map_err(described)?);
        let track = integer(event, "tid").ok();
        match (text(event, "ph")?, text(event, "name")?) {
            ("M", "thread_name") => drop(named.insert(track)),
            ("M", _) => {}
            _ => drop(used.insert(track)),
        }
    }
    ensure(processes.len() == 1, || format!("processes {processes:?}"))?;
    ensure(used.is_subset(&named), || {
        "a track without a name".to_owned()
    })?;
    flows.check()
}

/// Checks one event, and returns its process.
fn check_event(event: &Json, flows: &mut Flows) -> Result<i64, String> {
    let kind = text(event, "ph")?;
    let known: &[&str] = match kind {
        "X" => &["ts", "dur", "cat"],
        "s" | "f" => &["ts", "cat", "id", "bp"],
        "M" => &[],
        _ => return Err(format!("kind {kind:?}")),
    };
    for key in map(event)?.keys() {
        let is_general = ["name", "ph", "pid", "tid", "args"].contains(&key.as_str());
        ensure(is_general || known.contains(&key.as_str()), || {
            format!("a field {key} that an event of this kind does not have")
        })?;
    }
    let name = text(event, "name")?;
    let process = integer(event, "pid")?;
    if let Some(args) = event.get("args") {
        map(args)?;
    }
    match kind {
        "M" => check_metadata(event, name)?,
        "X" => {
            check_place(event)?;
            time(event, "dur")?;
        }
        _ => {
            check_place(event)?;
            flows.add(event, kind)?;
        }
    }
    Ok(process)
}

/// An event that is not metadata has a time, a track and categories.
fn check_place(event: &Json) -> Check {
    time(event, "ts")?;
    integer(event, "tid")?;
    ensure(!text(event, "cat")?.is_empty(), || "no category".to_owned())
}

fn check_metadata(event: &Json, name: &str) -> Check {
    let args = event.get("args").ok_or("metadata without arguments")?;
    let (key, is_number) = match name {
        "process_name" | "thread_name" => ("name", false),
        "process_labels" => ("labels", false),
        "process_sort_index" | "thread_sort_index" => ("sort_index", true),
        _ => return Err("metadata that the format does not have".to_owned()),
    };
    ensure(map(args)?.len() == 1, || "other arguments".to_owned())?;
    if is_number {
        integer(args, key)?;
    } else {
        text(args, key)?;
    }
    if name.starts_with("thread_") {
        integer(event, "tid")?;
    }
    Ok(())
}

/// The ends of arrows, by category, name and id.
#[derive(Default)]
struct Flows(BTreeMap<(String, String, String), [Option<f64>; 2]>);

impl Flows {
    fn add(&mut self, event: &Json, kind: &str) -> Check {
        let id = match event.get("id") {
            Some(Json::Number(id) | Json::Text(id)) => id.clone(),
            _ => return Err("an arrow without an id".to_owned()),
        };
        if let Some(point) = event.get("bp") {
            let is_enclosing = kind == "f" && *point == Json::Text("e".to_owned());
            ensure(is_enclosing, || "a binding point".to_owned())?;
        }
        let key = (
            text(event, "cat")?.to_owned(),
            text(event, "name")?.to_owned(),
            id,
        );
        let end = &mut self.0.entry(key).or_default()[usize::from(kind == "f")];
        ensure(end.is_none(), || {
            "the same end of an arrow twice".to_owned()
        })?;
        *end = Some(time(event, "ts")?);
        Ok(())
    }

    fn check(&self) -> Check {
        for (key, ends) in &self.0 {
            match ends {
                [Some(from), Some(to)] if from <= to => {}
                _ => return Err(format!("not an arrow: {key:?} {ends:?}")),
            }
        }
        Ok(())
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn map(value: &Json) -> Result<&BTreeMap<String, Json>, String> {
    match value {
        Json::Map(map) => Ok(map),
        _ => Err(format!("no object: {value:?}")),
    }
}

fn text<'a>(value: &'a Json, key: &str) -> Result<&'a str, String> {
    match value.get(key) {
        Some(Json::Text(text)) => Ok(text),
        other => Err(format!("{key} is no text: {other:?}")),
    }
}

fn integer(value: &Json, key: &str) -> Result<i64, String> {
    match value.get(key) {
        Some(Json::Number(number)) => number.parse().map_err(|error| format!("{key}: {error}")),
        other => Err(format!("{key} is no number: {other:?}")),
    }
}

/// A time in microseconds: a number that is not negative.
fn time(value: &Json, key: &str) -> Result<f64, String> {
    match value.get(key) {
        Some(Json::Number(number)) => {
            let time = number
                .parse::<f64>()
                .map_err(|error| format!("{key}: {error}"))?;
            ensure(time.is_finite() && time >= 0.0, || {
                format!("{key} is {time}")
            })?;
            Ok(time)
        }
        other => Err(format!("{key} is no number: {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMED: &str = r#"{"ph":"M","pid":1,"tid":2,"name":"thread_name","args":{"name":"a"}}"#;

    fn checked(events: &[&str]) -> Check {
        let all = [&[NAMED], events].concat().join(",");
        check(&Json::parse(&format!(
            r#"{{"traceEvents":[{all}],"displayTimeUnit":"ns"}}"#
        )))
    }

    #[test]
    fn accepts_what_the_format_describes() {
        assert_eq!(checked(&[]), Ok(()));
        assert_eq!(
            checked(&[
                r#"{"ph":"X","pid":1,"tid":2,"ts":0.5,"dur":1,"cat":"c","name":"n","args":{"a":1}}"#,
                r#"{"ph":"s","pid":1,"tid":2,"ts":1,"cat":"c","name":"n","id":7}"#,
                r#"{"ph":"f","bp":"e","pid":1,"tid":2,"ts":2,"cat":"c","name":"n","id":7}"#,
            ]),
            Ok(())
        );
    }

    #[test]
    fn notices_what_it_does_not() {
        for events in [
            // Not an event of a kind that is used, or without what its kind must have.
            &[r#"{"ph":"Q","pid":1,"tid":2,"ts":1,"cat":"c","name":"n"}"#][..],
            &[r#"{"ph":"X","pid":1,"tid":2,"ts":1,"cat":"c","name":"n"}"#],
            &[r#"{"ph":"X","pid":1,"tid":2,"dur":1,"cat":"c","name":"n"}"#],
            &[r#"{"ph":"X","pid":1,"tid":2,"ts":1,"dur":1,"name":"n"}"#],
            &[r#"{"ph":"X","pid":1,"tid":2,"ts":1,"dur":1,"cat":"c"}"#],
            &[r#"{"ph":"X","tid":2,"ts":1,"dur":1,"cat":"c","name":"n"}"#],
            // Of a wrong type, or negative.
            &[r#"{"ph":"X","pid":1,"tid":"2","ts":1,"dur":1,"cat":"c","name":"n"}"#],
            &[r#"{"ph":"X","pid":1,"tid":2,"ts":"1","dur":1,"cat":"c","name":"n"}"#],
            &[r#"{"ph":"X","pid":1,"tid":2,"ts":1,"dur":-1,"cat":"c","name":"n"}"#],
            &[r#"{"ph":"X","pid":1,"tid":2,"ts":1,"dur":1,"cat":"c","name":"n","args":[]}"#],
            // A misspelt field; a track without a name; another process.
            &[r#"{"ph":"X","pid":1,"tid":2,"ts":1,"dur":1,"cats":"c","cat":"c","name":"n"}"#],
            &[r#"{"ph":"X","pid":1,"tid":3,"ts":1,"dur":1,"cat":"c","name":"n"}"#],
            &[r#"{"ph":"X","pid":2,"tid":2,"ts":1,"dur":1,"cat":"c","name":"n"}"#],
            // Half an arrow; one back in time; ends with different names.
            &[r#"{"ph":"s","pid":1,"tid":2,"ts":1,"cat":"c","name":"n","id":7}"#],
            &[
                r#"{"ph":"s","pid":1,"tid":2,"ts":2,"cat":"c","name":"n","id":7}"#,
                r#"{"ph":"f","pid":1,"tid":2,"ts":1,"cat":"c","name":"n","id":7}"#,
            ],
            &[
                r#"{"ph":"s","pid":1,"tid":2,"ts":1,"cat":"c","name":"n","id":7}"#,
                r#"{"ph":"f","pid":1,"tid":2,"ts":2,"cat":"c","name":"m","id":7}"#,
            ],
            // Metadata that is none.
            &[r#"{"ph":"M","pid":1,"tid":2,"name":"thread_names","args":{"name":"a"}}"#],
            &[r#"{"ph":"M","pid":1,"tid":2,"name":"thread_sort_index","args":{"sort_index":"1"}}"#],
        ] {
            assert!(checked(events).is_err(), "not noticed: {events:?}");
        }
        assert!(check(&Json::parse("[]")).is_err());
        assert!(check(&Json::parse(r#"{"traceEvents":{}}"#)).is_err());
    }
}
