//! The reviewed list: mutants that no case can tell from the original, each with the reason why.
//!
//! A reason (lines that begin with `=`) stands above the mutants it explains. A mutant is a file, the line as it is and
//! as the mistake makes it; `#2` after the file says which of several equal lines. So the list stays true while other
//! lines change.

use super::operators::Mutant;

/// A mutant that was reviewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: Key,
    pub reason: String,
    /// Where in the list it stands, counted from 1.
    pub at: usize,
}

/// What tells mutants apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Key {
    pub file: String,
    pub nth: usize,
    pub from: String,
    pub to: String,
}

impl Key {
    pub fn of(mutant: &Mutant, text: &str) -> Self {
        let [from, to] = mutant.lines(text);
        Self { file: format!("{}.wgsl", mutant.file), nth: mutant.nth(text), from, to }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let nth = if self.nth > 1 { format!(" #{}", self.nth) } else { String::new() };
        let [from, to] = [("-", &self.from), ("+", &self.to)].map(|(sign, line)| format!("{sign} {line}"));
        write!(f, "{}{nth}\n{}\n{}", self.file, from.trim_end(), to.trim_end())
    }
}

/// Reads the list.
pub fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut reason = String::new();
    let mut key = Key::default();
    let mut explained = true;
    for (at, line) in text.lines().enumerate().map(|(i, line)| (i + 1, line.trim())) {
        let rest = line.get(1..).unwrap_or_default().trim();
        match line.chars().next() {
            None | Some('#') => {}
            Some('=') => {
                if explained {
                    reason.clear();
                }
                explained = false;
                reason = format!("{reason} {rest}").trim().into();
            }
            Some('-') => key.from = rest.into(),
            Some('+') if reason.is_empty() => return Err(format!("line {at}: no reason stands above this mutant")),
            Some('+') if key.file.is_empty() || key.from.is_empty() => {
                return Err(format!("line {at}: a mutant is a file, a line with - and a line with +"));
            }
            Some('+') => {
                explained = true;
                let key = Key { to: rest.into(), ..key.clone() };
                entries.push(Entry { key, reason: reason.clone(), at });
            }
            Some(_) => key = named(line).ok_or_else(|| format!("line {at}: {line:?} is no file and no reason"))?,
        }
    }
    Ok(entries)
}

/// `FILE.wgsl` or `FILE.wgsl #2`.
fn named(line: &str) -> Option<Key> {
    let (file, nth) = line.split_once(" #").unwrap_or((line, "1"));
    let nth = nth.parse().ok()?;
    file.ends_with(".wgsl").then(|| Key { file: file.into(), nth, ..Key::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::operators::mutants;

    const LIST: &str = "# Heading.\n\n= Nobody\n= can tell.\na.wgsl\n- b = 1u;\n+ b = 2u;\na.wgsl #2\n- c();\n+\n\n= Another.\na.wgsl\n- d\n+ e\n";

    #[test]
    fn reads_reasons_and_mutants() {
        let entries = parse(LIST).expect("a list");
        let reasons: Vec<&str> = entries.iter().map(|e| e.reason.as_str()).collect();
        assert_eq!(reasons, ["Nobody can tell.", "Nobody can tell.", "Another."]);
        let key = Key { file: "a.wgsl".into(), nth: 2, from: "c();".into(), to: String::new() };
        assert_eq!((&entries[1].key, entries[1].at), (&key, 10));
        assert_eq!(key.to_string(), "a.wgsl #2\n- c();\n+");
    }

    #[test]
    fn what_is_printed_of_a_mutant_can_be_put_into_the_list() {
        let text = "fn f() {\n    a = b - 1u;\n    a = b - 1u;\n}\n";
        for mutant in mutants("parts/f", text) {
            let key = Key::of(&mutant, text);
            let entries = parse(&format!("= So it is.\n{key}\n")).expect("a list");
            assert_eq!(entries.iter().map(|e| &e.key).collect::<Vec<_>>(), [&key]);
        }
    }

    #[test]
    fn what_is_no_list_is_refused_with_its_line() {
        for (text, want) in [
            ("a.wgsl\n- b\n+ c\n", "line 3: no reason"),
            ("= Why.\na.wgsl\n+ c\n", "line 3: a mutant is"),
            ("= Why.\n\nb\n", "line 3: \"b\" is no file"),
            ("a.wgsl #x\n", "line 1"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.starts_with(want), "{error}");
        }
    }
}
