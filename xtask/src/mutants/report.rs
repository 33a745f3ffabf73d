//! What became of the mutants: a table by file, every survivor, and whether the reviewed list is still true.

use std::collections::HashMap;
use std::fmt;

use super::reviewed::{Entry, Key};
use super::runner::Verdict;
use super::{Chosen, LIST, Source};

/// A file's row of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Row {
    file: String,
    killed: usize,
    /// Of those that compile.
    total: usize,
    equivalent: usize,
    survived: usize,
    invalid: usize,
    hung: usize,
    lost: usize,
}

pub struct Report {
    rows: Vec<Row>,
    /// Survivors that nobody has explained: where, and the change.
    survivors: Vec<(String, Key)>,
    /// Entries of the list that are no longer true: which, and why.
    stale: Vec<(Entry, &'static str)>,
}

impl Report {
    pub fn new(sources: &[Source], chosen: &[Chosen<'_>], verdicts: &[Verdict], entries: &[Entry]) -> Self {
        let listed: HashMap<&Key, &Entry> = entries.iter().map(|e| (&e.key, e)).collect();
        let mut report = Self { rows: Vec::new(), survivors: Vec::new(), stale: Vec::new() };
        for ((source, mutant), verdict) in chosen.iter().zip(verdicts) {
            let file = format!("{}.wgsl", source.name);
            if report.rows.last().is_none_or(|row| row.file != file) {
                report.rows.push(Row { file, ..Row::default() });
            }
            let key = Key::of(mutant, &source.text);
            let entry = listed.get(&key);
            let Some(row) = report.rows.last_mut() else { continue };
            row.count(verdict, entry.is_some());
            match (entry, verdict) {
                (None, Verdict::Survived) => report.survivors.push((mutant.place(), key)),
                (Some(entry), verdict) if verdict.is_kill() => report.stale.push(((*entry).clone(), "it is killed")),
                (Some(entry), Verdict::Invalid) => report.stale.push(((*entry).clone(), "it does not compile")),
                _ => {}
            }
        }
        let keys = sources.iter().flat_map(|s| s.mutants.iter().map(|m| Key::of(m, &s.text)));
        let known: std::collections::HashSet<Key> = keys.collect();
        let gone = entries.iter().filter(|entry| !known.contains(&entry.key));
        report.stale.extend(gone.map(|entry| (entry.clone(), "there is no such mutant any more")));
        report
    }

    /// An error where a survivor is not explained or the list is not true.
    pub fn verdict(&self) -> Result<(), String> {
        match (self.survivors.len(), self.stale.len()) {
            (0, 0) => Ok(()),
            (survivors, 0) => {
                Err(format!("{survivors} mutants survive: add a case, or say in {LIST} why none can tell"))
            }
            (0, stale) => Err(format!("{stale} entries of {LIST} are stale: remove them")),
            (survivors, stale) => Err(format!("{survivors} mutants survive, and {stale} entries of {LIST} are stale")),
        }
    }
}

impl Row {
    fn count(&mut self, verdict: &Verdict, listed: bool) {
        self.total += usize::from(*verdict != Verdict::Invalid);
        self.killed += usize::from(verdict.is_kill());
        match verdict {
            Verdict::Killed(_) => {}
            Verdict::Survived if listed => self.equivalent += 1,
            Verdict::Survived => self.survived += 1,
            Verdict::Invalid => self.invalid += 1,
            Verdict::Hung => self.hung += 1,
            Verdict::Lost => self.lost += 1,
        }
    }

    fn add(mut self, other: &Self) -> Self {
        self.killed += other.killed;
        self.total += other.total;
        self.equivalent += other.equivalent;
        self.survived += other.survived;
        self.invalid += other.invalid;
        self.hung += other.hung;
        self.lost += other.lost;
        self
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let killed = format!("{} / {}", self.killed, self.total);
        let Self { file, equivalent, survived, invalid, hung, lost, .. } = self;
        writeln!(f, "{file:<30} {killed:>13} {equivalent:>10} {survived:>11} {invalid:>7} {hung:>5} {lost:>5}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["file", "killed/total", "equivalent", "unexplained", "invalid", "hung", "lost"];
        writeln!(
            f,
            "{:<30} {:>13} {:>10} {:>11} {:>7} {:>5} {:>5}",
            head[0], head[1], head[2], head[3], head[4], head[5], head[6]
        )?;
        self.rows.iter().try_for_each(|row| row.fmt(f))?;
        let total = Row { file: "all".into(), ..Row::default() };
        self.rows.iter().fold(total, Row::add).fmt(f)?;
        for (place, change) in &self.survivors {
            writeln!(f, "\nsurvivor, {place}:\n{change}")?;
        }
        for (entry, why) in &self.stale {
            writeln!(f, "\nstale, {LIST}:{}: {why}:\n{}", entry.at, entry.key)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::{operators, reviewed};

    const TEXT: &str = "fn f() {\n    a = 1u;\n    b();\n}\n";
    const ONE: &str = "= So it is.\nf.wgsl\n- a = 1u;\n+ a = 2u;\n";

    /// The mutants are: the assignment dropped, 2 for 1, 0 for 1, the call dropped.
    fn report(verdicts: &[Verdict], list: &str) -> Report {
        let source = Source { name: "f".into(), text: TEXT.into(), mutants: operators::mutants("f", TEXT) };
        let chosen: Vec<Chosen<'_>> = source.mutants.iter().map(|m| (&source, m)).collect();
        assert_eq!(chosen.len(), verdicts.len());
        let entries = reviewed::parse(list).expect("a list");
        Report::new(std::slice::from_ref(&source), &chosen, verdicts, &entries)
    }

    fn killed() -> Verdict {
        Verdict::Killed("a case".into())
    }

    #[test]
    fn counts_each_kind_apart() {
        let report = report(&[killed(), Verdict::Hung, Verdict::Invalid, Verdict::Lost], "");
        assert_eq!(report.verdict(), Ok(()));
        let row = Row { file: "f.wgsl".into(), killed: 3, total: 3, invalid: 1, hung: 1, lost: 1, ..Row::default() };
        assert_eq!(report.rows, [row]);
    }

    #[test]
    fn a_survivor_is_shown_as_the_list_would_explain_it() {
        let verdicts = [killed(), Verdict::Survived, killed(), killed()];
        let open = report(&verdicts, "");
        assert!(open.verdict().is_err_and(|e| e.starts_with("1 mutants survive")));
        assert!(open.to_string().contains("survivor, f.wgsl:2 literal:\nf.wgsl\n- a = 1u;\n+ a = 2u;\n"), "{open}");
        let explained = report(&verdicts, ONE);
        assert_eq!(explained.verdict(), Ok(()));
        assert_eq!((explained.rows[0].killed, explained.rows[0].total, explained.rows[0].equivalent), (3, 4, 1));
    }

    #[test]
    fn entries_that_are_no_longer_true_are_stale() {
        let all = [killed(), killed(), killed(), killed()];
        assert!(report(&all, ONE).verdict().is_err_and(|e| e.starts_with("1 entries")));
        let gone = ONE.replace("- a = 1u;", "- a = 7u;");
        let stale = report(&all, &gone);
        assert!(stale.to_string().contains("xtask/equivalent.txt:4: there is no such mutant"), "{stale}");
        let invalid = [killed(), Verdict::Invalid, killed(), killed()];
        assert!(report(&invalid, ONE).to_string().contains("it does not compile"));
    }
}
