//! A folder's chat template: messages in, the prompt's text out.
//!
//! Templates are written for Jinja with Python's methods, as transformers renders them: blocks are trimmed, `tojson` escapes
//! nothing, and a template may raise exceptions and ask for the date.

use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::{Environment, ErrorKind, Value, context};
use serde::Serialize;
use wgformer::Error;
use wgformer::model::TokenizerFiles;

/// Steps that a template may take; real ones take some thousands.
const FUEL: u64 = 2_000_000;
/// Special tokens by their keys, for templates that write them.
const TOKENS: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// One turn of a chat.
#[derive(Clone, Debug, Serialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: &'static str,
    /// What was said.
    pub content: String,
}

/// A template, with the special tokens that it may write.
#[derive(Debug)]
pub struct ChatTemplate {
    file: &'static str,
    source: String,
    tokens: Vec<(&'static str, String)>,
}

impl ChatTemplate {
    /// The template of a folder: `chat_template.jinja`, or what `tokenizer_config.json` has.
    ///
    /// # Errors
    /// [`Error::Config`] when there is none.
    pub fn of(files: &TokenizerFiles) -> Result<Self, Error> {
        let settings = files.config("tokenizer_config.json")?;
        let (map, own) = (files.config("special_tokens_map.json")?, settings.get("chat_template"));
        let (file, source) = match files.text("chat_template.jinja")? {
            Some(text) => ("chat_template.jinja", Some(text)),
            None => ("tokenizer_config.json", own.and_then(template)),
        };
        let why = "has no chat_template, and there is no chat_template.jinja; leave out --chat for a model without one";
        let source = source.ok_or_else(|| error(file, why))?.to_owned();
        let content =
            |value: &serde_json::Value| Some(value.as_str().or_else(|| value.get("content")?.as_str())?.to_owned());
        let token = |key: &&'static str| Some((*key, settings.get(key).or_else(|| map.get(key)).and_then(content)?));
        Ok(Self { file, source, tokens: TOKENS.iter().filter_map(token).collect() })
    }

    /// The prompt that these messages are, with the beginning of the answer.
    ///
    /// # Errors
    /// [`Error::Config`] when the template is damaged, refuses the messages or never ends.
    pub fn render(&self, messages: &[Message]) -> Result<String, Error> {
        let mut env = Environment::new();
        env.set_trim_blocks(true);
        env.set_lstrip_blocks(true);
        env.set_fuel(Some(FUEL));
        env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        env.add_filter("tojson", to_json);
        env.add_function("raise_exception", |message: String| -> Result<String, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        env.add_function("strftime_now", |format: &str| strftime(format, seconds()));
        let tokens = Value::from_iter(self.tokens.iter().map(|(key, token)| (*key, token.as_str())));
        let chat = context! { messages, add_generation_prompt => true, tools => (), documents => (), ..tokens };
        env.render_str(&without_marks(&self.source), chat).map_err(|e| error(self.file, said(&e)))
    }
}

/// The one template, or the default of several.
fn template(value: &serde_json::Value) -> Option<&str> {
    let named =
        |list: &'_ [serde_json::Value]| list.iter().position(|one| one.get("name").is_some_and(|n| n == "default"));
    match value {
        serde_json::Value::Array(list) => list[named(list)?].get("template")?.as_str(),
        other => other.as_str(),
    }
}

fn error(file: &str, why: impl Into<String>) -> Error {
    Error::Config { file: file.into(), why: why.into() }
}

fn said(e: &minijinja::Error) -> String {
    let line = e.line().map_or_else(String::new, |line| format!(" (line {line})"));
    match e.detail() {
        Some(detail) => format!("the chat template fails: {detail}{line}"),
        None => format!("the chat template fails: {}{line}", e.kind()),
    }
}

/// Some templates mark what the model is to learn, which says nothing to a reader.
fn without_marks(source: &str) -> String {
    let mut out = source.to_owned();
    for (mark, block) in [("endgeneration", "endif"), ("generation", "if true")] {
        for (open, close) in [("{% ", " %}"), ("{%- ", " %}"), ("{% ", " -%}"), ("{%- ", " -%}")] {
            out = out.replace(&format!("{open}{mark}{close}"), &format!("{open}{block}{close}"));
        }
    }
    out
}

/// As Python's `json.dumps` writes it, with spaces and without escapes for HTML.
fn to_json(value: Value, options: minijinja::value::Kwargs) -> Result<String, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    let _: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let mut out = Vec::new();
    let failed = |e: serde_json::Error| minijinja::Error::new(ErrorKind::InvalidOperation, e.to_string());
    match indent {
        Some(indent) => {
            let spaces = vec![b' '; indent.min(16)];
            let pretty = serde_json::ser::PrettyFormatter::with_indent(&spaces);
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, pretty)).map_err(failed)?;
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Spaced)).map_err(failed)?,
    }
    String::from_utf8(out).map_err(|e| minijinja::Error::new(ErrorKind::InvalidOperation, e.to_string()))
}

/// `{"a": 1, "b": 2}`.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W, first: bool) -> std::io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, out: &mut W, first: bool) -> std::io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
        out.write_all(b": ")
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A time (UTC) in the parts of `strftime` that templates use; others stay as they are.
fn strftime(format: &str, seconds: u64) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
    let (days, second) = (seconds / 86400, seconds % 86400);
    let (year, month, day) = date(days);
    let (name, weekday) = (MONTHS[month - 1], DAYS[(days % 7) as usize]);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(char) = chars.next() {
        match (char, char == '%') {
            (_, false) => out.push(char),
            _ => match chars.next() {
                Some('Y') => out += &year.to_string(),
                Some('y') => out += &format!("{:02}", year % 100),
                Some('m') => out += &format!("{month:02}"),
                Some('d') => out += &format!("{day:02}"),
                Some('B') => out += name,
                Some('b') => out += &name[..3],
                Some('A') => out += weekday,
                Some('a') => out += &weekday[..3],
                Some('H') => out += &format!("{:02}", second / 3600),
                Some('M') => out += &format!("{:02}", second / 60 % 60),
                Some('S') => out += &format!("{:02}", second % 60),
                Some('%') => out.push('%'),
                Some(other) => out.extend(['%', other]),
                None => out.push('%'),
            },
        }
    }
    out
}

/// Year, month and day so many days after the first of January 1970.
fn date(mut days: u64) -> (u64, usize, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    (year, month + 1, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(config: &str) -> TokenizerFiles {
        let mut files = TokenizerFiles::default();
        files.insert("tokenizer_config.json", config.as_bytes().to_vec());
        files
    }

    fn with(template: &str) -> ChatTemplate {
        let config =
            serde_json::json!({"chat_template": template, "bos_token": "<s>", "eos_token": {"content": "</s>"}});
        ChatTemplate::of(&files(&config.to_string())).unwrap()
    }

    fn user(content: &str) -> Vec<Message> {
        vec![Message { role: "user", content: content.into() }]
    }

    /// Templates as real models have them, rendered by transformers; `tests/golden/make_chat.py` made the answers.
    #[test]
    fn prompts_are_transformers() {
        let cases: serde_json::Value = serde_json::from_str(include_str!("../../tests/golden/chat.json")).unwrap();
        let cases = cases.as_array().unwrap();
        assert!(cases.len() >= 12);
        for case in cases {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            let role =
                |value: &serde_json::Value| ["system", "user", "assistant"].into_iter().find(|r| value == r).unwrap();
            let message = |m: &serde_json::Value| Message { role: role(&m["role"]), content: text(&m["content"]) };
            let messages: Vec<Message> = case["messages"].as_array().unwrap().iter().map(message).collect();
            let prompt = with(&text(&case["template"])).render(&messages).unwrap();
            assert_eq!(prompt, text(&case["prompt"]), "{}", case["name"]);
        }
    }

    #[test]
    fn a_template_is_found() {
        let several = r#"{"chat_template": [{"name": "tools", "template": "a"}, {"name": "default", "template": "b{{ bos_token }}"}]}"#;
        let mut files = files(several);
        assert_eq!(ChatTemplate::of(&files).unwrap().render(&user("")).unwrap(), "b");
        files.insert("special_tokens_map.json", br#"{"bos_token": "<s>"}"#.to_vec());
        files.insert("chat_template.jinja", b"{{ bos_token }}{{ messages[0].role }}".to_vec());
        assert_eq!(ChatTemplate::of(&files).unwrap().render(&user("")).unwrap(), "<s>user");
        let none = ChatTemplate::of(&TokenizerFiles::default()).unwrap_err().to_string();
        assert!(none.contains("no chat_template"), "{none}");
    }

    #[test]
    fn failures_are_told() {
        let message = |template: &str| match with(template).render(&user("hello")).unwrap_err() {
            Error::Config { file, why } => format!("{file}: {why}"),
            other => panic!("{other}"),
        };
        assert!(message("{{ raise_exception('roles must alternate') }}").contains("roles must alternate (line 1)"));
        assert!(message("{% for").starts_with("tokenizer_config.json: the chat template fails"));
        assert!(message("{{ messages.nothing.at.all }}").contains("undefined"));
        assert!(message("{{ nothing() }}").contains("nothing"));
        assert!(
            message("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}").contains("fuel")
        );
        assert!(message("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").contains("recursion"));
    }

    #[test]
    fn times() {
        assert_eq!(strftime("%d %b %Y", 0), "01 Jan 1970");
        assert_eq!(strftime("%A %-d %B %y, %H:%M:%S %%", 951_782_399), "Monday %-d February 00, 23:59:59 %");
        assert_eq!(strftime("%Y-%m-%d %a", 951_782_400), "2000-02-29 Tue");
        assert_eq!(strftime("%Y-%m-%d", 4_107_542_399), "2100-02-28");
        assert_eq!(strftime("%Y-%m-%d", 4_107_542_400), "2100-03-01");
    }
}
