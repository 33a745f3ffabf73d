//! The texts that commands take: their arguments, or the lines of standard input.

use std::io::{BufRead, IsTerminal};
use std::sync::mpsc::{Receiver, sync_channel};

use crate::output::{Failure, note};

/// A text, or why there are no more.
pub type Text = Result<String, Failure>;

/// The texts of a command that takes them batch by batch.
#[derive(clap::Args)]
pub struct Texts {
    /// At most so many texts or pairs in one step: more is faster, less needs less memory; what comes out is the same
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// The texts
    #[arg(value_name = "TEXT")]
    pub texts: Vec<String>,
}

/// Texts that have begun to come.
pub struct Batches {
    texts: Receiver<Text>,
    first: Text,
    /// At most so many at once.
    pub most: usize,
}

impl Texts {
    /// Waits for the first text.
    pub fn begin(self, quiet: bool) -> Result<Batches, Failure> {
        let texts = texts(self.texts, quiet);
        let first = texts.recv().map_err(|_| none())?;
        Ok(Batches { texts, first, most: self.batch_size as usize })
    }
}

impl Batches {
    /// Batch after batch, as [`batches`] has it.
    pub fn each(self, each: impl FnMut(&[String]) -> Result<(), Failure>) -> Result<(), Failure> {
        batches(&self.texts, self.first, self.most, each)
    }
}

/// The texts given as arguments; without any, the lines of standard input.
pub fn texts(arguments: Vec<String>, quiet: bool) -> Receiver<Text> {
    if arguments.is_empty() { lines(quiet) } else { given(arguments) }
}

/// What is said where there is no text at all.
pub fn none() -> Failure {
    Failure::new("no text; give texts as arguments, or one a line on standard input")
}

/// Takes texts in batches of up to `most`, beginning with `first`. A text that is not there yet is not waited for: who
/// writes line by line gets line by line.
pub fn batches(
    texts: &Receiver<Text>,
    first: Text,
    most: usize,
    mut each: impl FnMut(&[String]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut next = Some(first);
    while let Some(text) = next {
        let mut batch = vec![text?];
        let mut failure = None;
        while batch.len() < most && failure.is_none() {
            match texts.try_recv() {
                Ok(Ok(text)) => batch.push(text),
                Ok(Err(e)) => failure = Some(e),
                Err(_) => break,
            }
        }
        each(&batch)?;
        next = failure.map_or_else(|| texts.recv().ok(), |e| Some(Err(e)));
    }
    Ok(())
}

/// A text's beginning, quoted.
pub fn start(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    if short.len() < text.len() { format!("{short:?}..") } else { format!("{short:?}") }
}

fn given(texts: Vec<String>) -> Receiver<Text> {
    let (send, receive) = sync_channel(texts.len());
    texts.into_iter().for_each(|text| drop(send.send(Ok(text))));
    receive
}

/// The lines of standard input, read ahead a little by a thread of their own.
fn lines(quiet: bool) -> Receiver<Text> {
    if std::io::stdin().is_terminal() && !quiet {
        note("reading texts from the terminal, one a line; Ctrl-D ends them");
    }
    let (send, receive) = sync_channel(1024);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        for number in 1.. {
            let text = line(&mut input, number);
            let last = !matches!(text, Some(Ok(_)));
            if text.is_none_or(|text| send.send(text).is_err()) || last {
                break;
            }
        }
    });
    receive
}

/// The next line without its end; `None` after the last.
fn line(input: &mut impl BufRead, number: usize) -> Option<Text> {
    let mut bytes = Vec::new();
    match input.read_until(b'\n', &mut bytes) {
        Ok(0) => return None,
        Ok(_) => {}
        Err(e) => return Some(Err(Failure::new(format!("standard input: {e}")))),
    }
    if bytes.pop_if(|b| *b == b'\n').is_some() {
        bytes.pop_if(|b| *b == b'\r');
    }
    let wrong = |_| Failure::new(format!("line {number} of standard input is not UTF-8; convert it, e.g. with iconv"));
    Some(String::from_utf8(bytes).map_err(wrong))
}
