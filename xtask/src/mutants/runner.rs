//! The program that runs a mutant through the cases (tests/mutants.rs), as a child: one that hangs is killed, one that dies
//! has told something, and the next mutant gets a new one.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A case noticed; which, and what.
    Killed(String),
    /// No case noticed.
    Survived,
    /// It does not compile.
    Invalid,
    /// A case did not end.
    Hung,
    /// The device or the whole program was lost.
    Lost,
}

impl Verdict {
    pub fn is_kill(&self) -> bool {
        matches!(self, Self::Killed(_) | Self::Hung | Self::Lost)
    }
}

/// A child that is ready for mutants.
pub struct Runner {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    limit: Duration,
}

impl Runner {
    /// Starts the program. It must say something every `limit`: it names each case before it runs it.
    pub fn start(command: &mut Command, limit: Duration) -> Result<Self, String> {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|e| format!("{command:?}: {e}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("a child without pipes".into());
        };
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let read = BufReader::new(output).lines().map_while(Result::ok);
            read.into_iter().try_for_each(|line| sender.send(line))
        });
        let runner = Self { child, input, lines, limit };
        match runner.lines.recv_timeout(limit).as_deref() {
            Ok("ready") => Ok(runner),
            other => Err(format!("the runner of mutants does not start: {other:?}")),
        }
    }

    /// Runs a mutant: a file's name and its whole text. After [`Verdict::Hung`] and [`Verdict::Lost`] the child is no more.
    ///
    /// # Errors
    /// What a case says that fails without any mutant, too.
    pub fn run(&mut self, file: &str, text: &str) -> Result<Verdict, String> {
        let sent = write!(self.input, "{file} {}\n{text}", text.len()).and_then(|()| self.input.flush());
        if sent.is_err() {
            return Ok(Verdict::Lost);
        }
        loop {
            let line = match self.lines.recv_timeout(self.limit) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => return Ok(Verdict::Hung),
                Err(RecvTimeoutError::Disconnected) => return Ok(Verdict::Lost),
            };
            let (what, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match what {
                "killed" => return Ok(Verdict::Killed(rest.into())),
                "survived" => return Ok(Verdict::Survived),
                "invalid" => return Ok(Verdict::Invalid),
                "lost" => return Ok(Verdict::Lost),
                "broken" => return Err(rest.into()),
                _ => {}
            }
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A child that is a shell script: it must read what it is sent.
    fn run(script: &str) -> Result<Verdict, String> {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("echo ready; read head; read text; {script}")]);
        Runner::start(&mut command, Duration::from_millis(500))?.run("parts/f", "text\n")
    }

    #[test]
    fn verdicts_are_told_apart() {
        assert_eq!(run("echo case a; echo killed a: $head"), Ok(Verdict::Killed("a: parts/f 5".into())));
        assert_eq!(run("echo survived"), Ok(Verdict::Survived));
        assert_eq!(run("echo invalid because"), Ok(Verdict::Invalid));
        assert_eq!(run("echo lost"), Ok(Verdict::Lost));
        assert_eq!(run("echo broken a fails"), Err("a fails".into()));
    }

    #[test]
    fn a_child_that_hangs_or_dies_ends_nothing_but_its_mutant() {
        assert_eq!(run("echo case a; exec sleep 30"), Ok(Verdict::Hung));
        assert_eq!(run("echo case a; exit 3"), Ok(Verdict::Lost));
        // As long as it says something, it may take its time.
        assert_eq!(run("for i in 1 2 3 4; do sleep 0.2; echo case $i; done; echo survived"), Ok(Verdict::Survived));
    }

    #[test]
    fn a_child_that_does_not_start_is_an_error() {
        for command in ["exit 1", "echo no adapter", "exec sleep 30"] {
            let mut shell = Command::new("sh");
            assert!(Runner::start(shell.args(["-c", command]), Duration::from_millis(200)).is_err(), "{command}");
        }
        assert!(Runner::start(&mut Command::new("/nowhere/runner"), Duration::from_secs(1)).is_err());
    }
}
