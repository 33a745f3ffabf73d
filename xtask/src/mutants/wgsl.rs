//! WGSL as tokens: just enough of it to change one at a time.

use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Word,
    Number,
    Symbol,
}

/// A token and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    pub at: Range<usize>,
}

/// Symbols of several characters, the longest first.
const LONG: [&str; 21] = [
    "<<=", ">>=", "->", "++", "--", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<", ">>", "<=", ">=", "==", "!=",
    "&&", "||",
];

/// The tokens of a source; comments are none.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let (kind, length) = match first {
            c if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            c if c.is_alphabetic() || c == '_' => (Kind::Word, word(rest)),
            c if c.is_ascii_digit() => (Kind::Number, number(rest)),
            c => (Kind::Symbol, symbol(rest).unwrap_or(c.len_utf8())),
        };
        all.push(Token { kind, text: &rest[..length], at: at..at + length });
        at += length;
    }
    all
}

fn word(rest: &str) -> usize {
    rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
}

/// `4u`, `0xffu`, `1.0`, `7.9e-5`.
fn number(rest: &str) -> usize {
    let hex = rest.starts_with("0x");
    let exponent = |i: usize| !hex && rest[..i].ends_with(['e', 'E']);
    let inside = |i: usize, c: char| c.is_ascii_alphanumeric() || c == '.' || (c == '-' || c == '+') && exponent(i);
    rest.char_indices().find(|&(i, c)| !inside(i, c)).map_or(rest.len(), |(i, _)| i)
}

fn symbol(rest: &str) -> Option<usize> {
    LONG.iter().find(|symbol| rest.starts_with(**symbol)).map(|symbol| symbol.len())
}

/// The index of the bracket that closes the one at `open`.
pub fn closing(tokens: &[Token<'_>], open: usize) -> Option<usize> {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(i);
        }
    }
    None
}

/// The parts of a bracket's inside between the separators of its own level, as ranges of tokens.
pub fn split(tokens: &[Token<'_>], open: usize, separator: &str) -> Vec<Range<usize>> {
    let Some(close) = closing(tokens, open) else { return Vec::new() };
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, open + 1);
    for (i, token) in tokens.iter().enumerate().take(close).skip(open + 1) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            text if text == separator && depth == 0 => {
                parts.push(start..i);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(start..close);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        tokens(text).iter().map(|t| t.text).collect()
    }

    #[test]
    fn takes_a_line_apart() {
        let line = "if (a[i] <= -7.5e-3 && !(x4 >> 1u == 0x7fu)) { b += min(c.n - 1u, d); } // not + this";
        let want = "if ( a [ i ] <= - 7.5e-3 && ! ( x4 >> 1u == 0x7fu ) ) { b += min ( c . n - 1u , d ) ; }";
        assert_eq!(texts(line), want.split(' ').collect::<Vec<_>>());
        assert_eq!(tokens("a\n  + 1.0").last().map(|t| t.at.clone()), Some(6..9));
        assert_eq!(texts("i++ x-1u ->"), ["i", "++", "x", "-", "1u", "->"]);
    }

    #[test]
    fn finds_brackets_and_splits_what_they_hold() {
        let all = tokens("f(a[1, 2], g(b, c), d) + 1");
        assert_eq!(closing(&all, 1).map(|i| all[i + 1].text), Some("+"));
        let parts = split(&all, 1, ",");
        let held: Vec<String> = parts.into_iter().map(|p| all[p].iter().map(|t| t.text).collect()).collect();
        assert_eq!(held, ["a[1,2]", "g(b,c)", "d"]);
        assert_eq!(closing(&tokens("(a"), 0), None);
    }
}
