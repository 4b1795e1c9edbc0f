//! A small parser of JSON, strict enough to notice a file that is not JSON.

use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// The number as it is written, because nanoseconds as a decimal fraction of microseconds need
    /// all their digits.
    Number(String),
    Text(String),
    List(Vec<Json>),
    Map(BTreeMap<String, Json>),
}

impl Json {
    /// Parses the whole of `text`.
    pub(crate) fn parse(text: &str) -> Json {
        let mut parser = Parser { rest: text };
        let value = parser.value();
        parser.skip_blanks();
        assert!(parser.rest.is_empty(), "after the value: {}", parser.near());
        value
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Map(map) => map.get(key),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Json::Text(text) => text,
            other => panic!("no text: {other:?}"),
        }
    }

    pub(crate) fn list(&self) -> &[Json] {
        match self {
            Json::List(list) => list,
            other => panic!("no list: {other:?}"),
        }
    }

    /// Returns a thousand times the number, which has at most three decimals.
    pub(crate) fn thousandths(&self) -> u64 {
        let Json::Number(text) = self else {
            panic!("no number: {self:?}");
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        assert!(fraction.len() <= 3, "{text}");
        let fraction: u64 = format!("{fraction:0<3}").parse().unwrap();
        whole.parse::<u64>().unwrap() * 1000 + fraction
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn near(&self) -> String {
        self.rest.chars().take(60).collect()
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_blanks();
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, token: &str) {
        assert!(self.take(token), "expected {token:?} at: {}", self.near());
    }

    fn value(&mut self) -> Json {
        if self.take("{") {
            return self.map();
        }
        if self.take("[") {
            let mut list = Vec::new();
            if self.take("]") {
                return Json::List(list);
            }
            loop {
                list.push(self.value());
                if self.take("]") {
                    return Json::List(list);
                }
                self.expect(",");
            }
        }
        if self.take("\"") {
            return Json::Text(self.string());
        }
        for (token, value) in [
            ("null", Json::Null),
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
        ] {
            if self.take(token) {
                return value;
            }
        }
        let is_part = |c: char| c.is_ascii_digit() || ".-+eE".contains(c);
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        assert!(number.parse::<f64>().is_ok(), "no value: {}", self.near());
        self.rest = rest;
        Json::Number(number.to_owned())
    }

    fn map(&mut self) -> Json {
        let mut map = BTreeMap::new();
        if self.take("}") {
            return Json::Map(map);
        }
        loop {
            self.expect("\"");
            let key = self.string();
            self.expect(":");
            let value = self.value();
            assert!(map.insert(key.clone(), value).is_none(), "{key} twice");
            if self.take("}") {
                return Json::Map(map);
            }
            self.expect(",");
        }
    }

    /// Parses the rest of a string, after its quote.
    fn string(&mut self) -> String {
        let mut text = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next().expect("a string ends") {
                '"' => break,
                '\\' => match chars.next().expect("an escape ends") {
                    'u' => {
                        let digits: String = chars.by_ref().take(4).collect();
                        let number = u32::from_str_radix(&digits, 16).unwrap();
                        text.push(char::from_u32(number).unwrap());
                    }
                    c @ ('"' | '\\') => text.push(c),
                    c => panic!("an unexpected escape: {c}"),
                },
                c => {
                    assert!(!c.is_control(), "a control character in a string");
                    text.push(c);
                }
            }
        }
        self.rest = chars.as_str();
        text
    }
}

#[test]
fn reads_json_and_nothing_else() {
    let json = Json::parse(r#" {"a": [1.5, null, "x\"\u0041"], "b": {}, "c": true} "#);
    let list = json.get("a").unwrap().list();
    assert_eq!(list[0].thousandths(), 1_500);
    assert_eq!(list[2].text(), "x\"A");
    for wrong in [
        "{\"a\":1,}",
        "[1 2]",
        "{\"a\":1,\"a\":2}",
        "[1]]",
        "\"\n\"",
        "",
    ] {
        let parsed = std::panic::catch_unwind(|| Json::parse(wrong));
        assert!(parsed.is_err(), "taken: {wrong}");
    }
}
