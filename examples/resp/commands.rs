//! The commands: those that redis-cli and redis-benchmark need, and the usual ones on strings.

use crate::keyspace::Keyspace;
use crate::lock;
use crate::protocol::{Command, Reply, integer};

use rustlet::runtime::Handle;
use rustlet::sync::Mutex;

use std::time::{Duration, Instant};

/// All commands. The error for a wrong number of arguments differs from that for an unknown
/// command.
const COMMANDS: &str = "APPEND CLIENT COMMAND CONFIG DBSIZE DECR DECRBY DEL ECHO EXISTS EXPIRE FLUSHALL FLUSHDB GET INCR INCRBY INFO \
    MGET MSET PERSIST PEXPIRE PING PTTL QUIT SELECT SET STRLEN TTL";

const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
const SYNTAX: &str = "ERR syntax error";

type Outcome = Result<Reply, String>;

/// Executes a command and returns its reply.
pub(crate) fn execute(keys: &Mutex<Keyspace>, command: &Command) -> Reply {
    let words: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
    if words[0].eq_ignore_ascii_case(b"info") {
        return Reply::bytes(info().as_bytes());
    }
    outcome(&mut lock(keys), words[0], &words[1..]).unwrap_or_else(Reply::Error)
}

fn outcome(keys: &mut Keyspace, word: &[u8], arguments: &[&[u8]]) -> Outcome {
    let name = &*String::from_utf8_lossy(word).to_ascii_uppercase();
    let now = Instant::now();
    Ok(match (name, arguments) {
        ("PING", []) => Reply::Simple("PONG"),
        ("PING" | "ECHO", [text]) => Reply::bytes(text),
        ("QUIT", _) => Reply::Simple("OK"),
        ("SELECT", [b"0"]) => Reply::Simple("OK"),
        ("SELECT", [_]) => return Err("ERR DB index is out of range".into()),

        ("GET", [key]) => value(keys, key, now),
        ("MGET", [_, ..]) => {
            Reply::List(arguments.iter().map(|key| value(keys, key, now)).collect())
        }
        ("STRLEN", [key]) => {
            let length = keys.get(key, now).map_or(0, |entry| entry.value.len());
            Reply::Integer(length as i64)
        }
        ("SET", [key, value, options @ ..]) => set(keys, key, value, options, now)?,
        ("MSET", [_, _, ..]) if arguments.len().is_multiple_of(2) => {
            for pair in arguments.chunks(2) {
                keys.set(pair[0], pair[1], None);
            }
            Reply::Simple("OK")
        }
        ("APPEND", [key, more]) => {
            let entry = keys.get(key, now);
            let deadline = entry.as_ref().and_then(|entry| entry.deadline());
            let value = [entry.map_or(&[][..], |entry| &entry.value), more].concat();
            keys.set(key, &value, deadline);
            Reply::Integer(value.len() as i64)
        }
        ("DEL", [_, ..]) => count(arguments, |key| keys.remove(key, now)),
        ("EXISTS", [_, ..]) => count(arguments, |key| keys.get(key, now).is_some()),

        ("INCR", [key]) => add(keys, key, Some(1), now)?,
        ("DECR", [key]) => add(keys, key, Some(-1), now)?,
        ("INCRBY", [key, by]) => add(keys, key, integer(by), now)?,
        ("DECRBY", [key, by]) => {
            let by = integer(by).and_then(i64::checked_neg);
            add(keys, key, by, now)?
        }

        ("EXPIRE" | "PEXPIRE", [key, time]) => {
            let unit = if name == "EXPIRE" { 1_000 } else { 1 };
            let time = integer(time).ok_or(NOT_AN_INTEGER)?;
            let existed = if time <= 0 {
                keys.remove(key, now)
            } else {
                keys.expire(key, Some(later(now, time, unit, name)?), now)
            };
            Reply::Integer(existed.into())
        }
        ("PERSIST", [key]) => {
            let had = keys
                .get(key, now)
                .is_some_and(|entry| entry.deadline().is_some());
            Reply::Integer((had && keys.expire(key, None, now)).into())
        }
        ("TTL" | "PTTL", [key]) => {
            Reply::Integer(match keys.get(key, now).map(|entry| entry.deadline()) {
                None => -2,
                Some(None) => -1,
                Some(Some(deadline)) => {
                    let left = deadline.saturating_duration_since(now).as_millis() as i64;
                    if name == "TTL" {
                        (left + 500) / 1_000
                    } else {
                        left
                    }
                }
            })
        }

        ("DBSIZE", []) => Reply::Integer(keys.len() as i64),
        ("FLUSHALL" | "FLUSHDB", _) => {
            keys.clear();
            Reply::Simple("OK")
        }
        // Clients of Redis ask these when they connect; short answers suffice.
        ("COMMAND", _) => Reply::List(Vec::new()),
        ("CONFIG", [get, option]) if get.eq_ignore_ascii_case(b"get") => {
            let setting = match option.to_ascii_lowercase().as_slice() {
                b"save" => "",
                b"appendonly" => "no",
                _ => return Ok(Reply::List(Vec::new())),
            };
            Reply::List(vec![Reply::bytes(option), Reply::bytes(setting.as_bytes())])
        }
        ("CLIENT", [sub, ..]) => match sub.to_ascii_uppercase().as_slice() {
            b"SETNAME" | b"SETINFO" | b"REPLY" | b"TRACKING" => Reply::Simple("OK"),
            b"GETNAME" => Reply::Nothing,
            _ => return Err(unknown_subcommand("CLIENT", sub)),
        },
        ("CONFIG", [sub, ..]) => return Err(unknown_subcommand("CONFIG", sub)),

        _ if COMMANDS.split(' ').any(|known| known == name) => {
            let name = name.to_ascii_lowercase();
            return Err(format!(
                "ERR wrong number of arguments for '{name}' command"
            ));
        }
        _ => return Err(unknown(word, arguments)),
    })
}

/// The answer to INFO: what clients look for, and the numbers of the runtime, one on a line.
fn info() -> String {
    let mut text = String::from("# Server\r\nredis_version:7.0.0\r\nredis_mode:standalone\r\n");
    if let Some(runtime) = Handle::current() {
        text += "# Rustlet\r\n";
        let metrics = runtime.metrics().to_openmetrics();
        for line in metrics.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, value)) = line.rsplit_once(' ') {
                text += &format!("{name}:{value}\r\n");
            }
        }
    }
    text
}

fn value(keys: &mut Keyspace, key: &[u8], now: Instant) -> Reply {
    let entry = keys.get(key, now);
    entry.map_or(Reply::Nothing, |entry| Reply::Bytes(entry.value.clone()))
}

fn count(keys: &[&[u8]], mut is_one: impl FnMut(&[u8]) -> bool) -> Reply {
    Reply::Integer(keys.iter().filter(|key| is_one(key)).count() as i64)
}

/// `SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | KEEPTTL]`
fn set(keys: &mut Keyspace, key: &[u8], value: &[u8], options: &[&[u8]], now: Instant) -> Outcome {
    let (mut only_if_there_is, mut want_old) = (None, false);
    let (mut deadline, mut keep_deadline) = (None, false);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match option.to_ascii_uppercase().as_slice() {
            b"NX" if only_if_there_is.is_none() => only_if_there_is = Some(false),
            b"XX" if only_if_there_is.is_none() => only_if_there_is = Some(true),
            b"GET" => want_old = true,
            b"KEEPTTL" if deadline.is_none() => keep_deadline = true,
            option @ (b"EX" | b"PX") if deadline.is_none() && !keep_deadline => {
                let time = integer(options.next().ok_or(SYNTAX)?).ok_or(NOT_AN_INTEGER)?;
                let unit = if option == b"EX" { 1_000 } else { 1 };
                deadline = Some(later(now, time, unit, "SET")?);
            }
            _ => return Err(SYNTAX.into()),
        }
    }
    let old = keys.get(key, now);
    let there_is = old.is_some();
    if keep_deadline {
        deadline = old.as_ref().and_then(|entry| entry.deadline());
    }
    let old = old.map_or(Reply::Nothing, |entry| Reply::Bytes(entry.value.clone()));
    let sets = only_if_there_is.is_none_or(|wanted| wanted == there_is);
    if sets {
        keys.set(key, value, deadline);
    }
    Ok(match (want_old, sets) {
        (true, _) => old,
        (false, true) => Reply::Simple("OK"),
        (false, false) => Reply::Nothing,
    })
}

/// The deadline that is `time` units of `unit` milliseconds from now.
fn later(now: Instant, time: i64, unit: u64, command: &str) -> Result<Instant, String> {
    let time = u64::try_from(time).ok().filter(|&time| time > 0);
    time.and_then(|time| now.checked_add(Duration::from_millis(time.checked_mul(unit)?)))
        .ok_or_else(|| {
            let command = command.to_ascii_lowercase();
            format!("ERR invalid expire time in '{command}' command")
        })
}

/// Adds to a number. A missing key counts as 0; an existing one keeps its deadline.
fn add(keys: &mut Keyspace, key: &[u8], by: Option<i64>, now: Instant) -> Outcome {
    let by = by.ok_or(NOT_AN_INTEGER)?;
    let entry = keys.get(key, now);
    let number = entry
        .as_ref()
        .map_or(Some(0), |entry| integer(&entry.value));
    let sum = number.ok_or(NOT_AN_INTEGER)?.checked_add(by);
    let sum = sum.ok_or("ERR increment or decrement would overflow")?;
    match entry {
        Some(entry) => entry.value = sum.to_string().into_bytes().into(),
        None => keys.set(key, sum.to_string().as_bytes(), None),
    }
    Ok(Reply::Integer(sum))
}

fn unknown(name: &[u8], arguments: &[&[u8]]) -> String {
    let shown: String = arguments
        .iter()
        .map(|argument| format!("'{}' ", String::from_utf8_lossy(argument)))
        .collect();
    let shown: String = shown.chars().take(128).collect();
    let name: String = String::from_utf8_lossy(name).chars().take(128).collect();
    format!("ERR unknown command '{name}', with args beginning with: {shown}")
}

fn unknown_subcommand(command: &str, sub: &[u8]) -> String {
    let sub = String::from_utf8_lossy(sub);
    format!("ERR unknown subcommand '{sub}'. Try {command} HELP.")
}
