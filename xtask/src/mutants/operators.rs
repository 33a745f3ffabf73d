//! The operators: what mistakes are made, in each place where one can be made.

use std::ops::Range;

use super::wgsl::{Kind, Token, closing, split, tokens};

/// A file with one mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// Without the extension, below `shaders/`.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    pub operator: &'static str,
    /// The bytes that are replaced, of one line.
    pub at: Range<usize>,
    pub with: String,
}

impl Mutant {
    /// The whole file with the mistake in it.
    pub fn apply(&self, text: &str) -> String {
        [&text[..self.at.start], &self.with, &text[self.at.end..]].concat()
    }

    /// The line as it is and as it becomes.
    pub fn lines(&self, text: &str) -> [String; 2] {
        let line = |text: &str| text.lines().nth(self.line - 1).unwrap_or_default().trim().to_owned();
        [line(text), line(&self.apply(text))]
    }

    /// Which of the lines with that text it is, counted from 1.
    pub fn nth(&self, text: &str) -> usize {
        let own = text.lines().nth(self.line - 1).unwrap_or_default().trim();
        text.lines().take(self.line).filter(|line| line.trim() == own).count()
    }

    /// `parts/mask.wgsl:5 barrier`: what filters look at.
    pub fn place(&self) -> String {
        format!("{}.wgsl:{} {}", self.file, self.line, self.operator)
    }
}

/// All mutants of a file, from its top to its end.
pub fn mutants(file: &str, text: &str) -> Vec<Mutant> {
    let source = Source { text, tokens: tokens(text) };
    let mut changes = Vec::new();
    for i in 0..source.tokens.len() {
        source.signs(i, &mut changes);
        source.comparisons(i, &mut changes);
        source.literals(i, &mut changes);
        source.extremes(i, &mut changes);
        source.subscripts(i, &mut changes);
        source.conditions(i, &mut changes);
    }
    source.statements(&mut changes);
    changes.retain(|change| !text[change.at.clone()].contains('\n'));
    changes.sort_by_key(|change| (change.at.start, change.at.end));
    let line = |at: usize| text[..at].matches('\n').count() + 1;
    let named = |Change { operator, at, with }| Mutant { file: file.into(), line: line(at.start), operator, at, with };
    changes.into_iter().map(named).collect()
}

struct Change {
    operator: &'static str,
    at: Range<usize>,
    with: String,
}

struct Source<'a> {
    text: &'a str,
    tokens: Vec<Token<'a>>,
}

impl Source<'_> {
    fn is(&self, i: usize, text: &str) -> bool {
        self.tokens.get(i).is_some_and(|t| t.text == text)
    }

    fn change(&self, i: usize, operator: &'static str, with: impl Into<String>) -> Change {
        Change { operator, at: self.tokens[i].at.clone(), with: with.into() }
    }

    /// The bytes of some tokens.
    fn bytes(&self, tokens: &Range<usize>) -> Range<usize> {
        self.tokens[tokens.start].at.start..self.tokens[tokens.end - 1].at.end
    }

    fn of(&self, tokens: &Range<usize>) -> &str {
        &self.text[self.bytes(tokens)]
    }

    /// The linker, which unrolls such a loop, reads no more than its bound.
    fn unrolled(&self, i: usize) -> bool {
        let rest = &self.text[self.tokens[i].at.start..];
        rest.lines().next().is_some_and(|line| line.ends_with("// unroll"))
    }

    /// + and - swapped, a sign dropped.
    fn signs(&self, i: usize, out: &mut Vec<Change>) {
        let operand = |t: &Token<'_>| t.kind != Kind::Symbol && t.text != "return" || [")", "]"].contains(&t.text);
        let binary = i > 0 && operand(&self.tokens[i - 1]);
        let with = match self.tokens[i].text {
            "+" => "-",
            "-" if binary => "+",
            "-" => "",
            "+=" => "-=",
            "-=" => "+=",
            "++" if !self.unrolled(i) => "--",
            _ => return,
        };
        out.push(self.change(i, "sign", with));
    }

    /// < and <=, > and >= swapped. Those of types stand without spaces.
    fn comparisons(&self, i: usize, out: &mut Vec<Change>) {
        let with = match self.tokens[i].text {
            "<" => "<=",
            "<=" => "<",
            ">" => ">=",
            ">=" => ">",
            _ => return,
        };
        if self.text[..self.tokens[i].at.start].ends_with(' ') {
            out.push(self.change(i, "comparison", with));
        }
    }

    /// One more, one less.
    fn literals(&self, i: usize, out: &mut Vec<Change>) {
        if self.tokens[i].kind == Kind::Number {
            let changed = neighbours(self.tokens[i].text).into_iter();
            out.extend(changed.map(|with| self.change(i, "literal", with)));
        }
    }

    /// The least for the greatest.
    fn extremes(&self, i: usize, out: &mut Vec<Change>) {
        let pairs = [("min", "max"), ("max", "min"), ("subgroupMin", "subgroupMax"), ("subgroupMax", "subgroupMin")];
        if let Some((_, with)) = pairs.iter().find(|(from, _)| self.is(i, from) && self.is(i + 1, "(")) {
            out.push(self.change(i, "extreme", *with));
        }
    }

    /// This subscript and the next of the same statement, swapped.
    fn subscripts(&self, i: usize, out: &mut Vec<Change>) {
        let Some(end) = self.is(i, "[").then(|| closing(&self.tokens, i)).flatten() else { return };
        let next = (end..self.tokens.len()).take_while(|&t| ![";", "{", "}"].contains(&self.tokens[t].text));
        let Some(other) = next.into_iter().find(|&t| self.is(t, "[")) else { return };
        let Some(last) = closing(&self.tokens, other) else { return };
        let (a, b) = (i + 1..end, other + 1..last);
        if self.of(&a) != self.of(&b) {
            let between = &self.text[self.bytes(&a).end..self.bytes(&b).start];
            let with = [self.of(&b), between, self.of(&a)].concat();
            out.push(Change { operator: "subscripts", at: self.bytes(&(i + 1..last)), with });
        }
    }

    /// What an `if`, a loop or a `select` asks, and what is equal, negated.
    fn conditions(&self, i: usize, out: &mut Vec<Change>) {
        let equal = match self.tokens[i].text {
            "==" => "!=",
            "!=" => "==",
            _ => "",
        };
        if !equal.is_empty() {
            out.push(self.change(i, "condition", equal));
        }
        if !self.is(i + 1, "(") {
            return;
        }
        let asked = match self.tokens[i].text {
            "if" => split(&self.tokens, i + 1, ";").pop(),
            "for" if !self.unrolled(i) => split(&self.tokens, i + 1, ";").into_iter().nth(1),
            "select" => split(&self.tokens, i + 1, ",").into_iter().nth(2),
            _ => return,
        };
        if let Some(asked) = asked.filter(|range| !range.is_empty()) {
            let with = format!("!({})", self.of(&asked));
            out.push(Change { operator: "condition", at: self.bytes(&asked), with });
        }
    }

    /// A statement dropped, if a function can do without: declarations and its last return cannot.
    fn statements(&self, out: &mut Vec<Change>) {
        let (mut braces, mut brackets, mut start) = (0, 0, 0);
        for i in 0..self.tokens.len() {
            match self.tokens[i].text {
                "{" => braces += 1,
                "}" => braces -= 1,
                "(" | "[" => brackets += 1,
                ")" | "]" => brackets -= 1,
                ";" if brackets == 0 && braces > 0 => out.extend(self.statement(start..i + 1, braces)),
                _ => {}
            }
            if brackets == 0 && ["{", "}", ";"].contains(&self.tokens[i].text) {
                start = i + 1;
            }
        }
    }

    fn statement(&self, tokens: Range<usize>, braces: usize) -> Option<Change> {
        let first = self.tokens[tokens.start].text;
        let needed = ["let", "var", "const"].contains(&first) || first == "return" && braces == 1;
        let operator = if first.ends_with("Barrier") { "barrier" } else { "statement" };
        (!needed).then(|| Change { operator, at: self.bytes(&tokens), with: String::new() })
    }
}

/// A literal plus and minus 1, where that is another number of its type.
fn neighbours(literal: &str) -> Vec<String> {
    if let Some(hex) = literal.strip_prefix("0x") {
        let (digits, suffix) = suffixed(hex, &['u', 'i']);
        let Ok(value) = u32::from_str_radix(digits, 16) else { return Vec::new() };
        let around = [value.checked_add(1), value.checked_sub(1)];
        return around.into_iter().flatten().map(|v| format!("{v:#x}{suffix}")).collect();
    }
    let (digits, suffix) = suffixed(literal, &['u', 'i', 'f']);
    if let Ok(value) = digits.parse::<u32>() {
        let around = [value.checked_add(1), value.checked_sub(1)];
        return around.into_iter().flatten().map(|v| format!("{v}{suffix}")).collect();
    }
    let Ok(value) = digits.parse::<f64>() else { return Vec::new() };
    // WGSL's floats are f32: far from 0 the next one may be farther away than 1.
    let other = |v: &f64| *v as f32 != value as f32;
    let written = |v: f64| if v < 0.0 { format!("({v:?}{suffix})") } else { format!("{v:?}{suffix}") };
    [value + 1.0, value - 1.0].into_iter().filter(other).map(written).collect()
}

fn suffixed<'a>(literal: &'a str, suffixes: &[char]) -> (&'a str, &'a str) {
    let digits = literal.trim_end_matches(suffixes);
    literal.split_at(digits.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a text in a function's body.
    fn changed(text: &str, operator: &str) -> Vec<String> {
        let text = format!("fn f() {{\n{text}\n}}\n");
        let of = |m: &Mutant| m.lines(&text)[1].clone();
        mutants("f", &text).iter().filter(|m| m.operator == operator).map(of).collect()
    }

    #[test]
    fn signs_are_swapped_and_dropped() {
        assert_eq!(
            changed("a = -b + c[1] - d;", "sign"),
            ["a = b + c[1] - d;", "a = -b - c[1] - d;", "a = -b + c[1] + d;"]
        );
        assert_eq!(changed("a += f(x) - 1e-5;", "sign"), ["a -= f(x) - 1e-5;", "a += f(x) + 1e-5;"]);
        assert_eq!(changed("if (a) { return -b; }", "sign"), ["if (a) { return b; }"]);
        let upward = "for (var i = 0u; i < N; i++) {";
        assert_eq!(changed(&format!("{upward} }}"), "sign"), ["for (var i = 0u; i < N; i--) { }"]);
        assert!(changed(&format!("{upward} // unroll\n}}"), "sign").is_empty());
    }

    #[test]
    fn comparisons_are_swapped_but_not_brackets_of_types() {
        assert_eq!(
            changed("let a = b < c && d >= e;", "comparison"),
            ["let a = b <= c && d >= e;", "let a = b < c && d > e;"]
        );
        assert!(changed("var a: array<vec4<bool>, 2>; let b = bitcast<u32>(c) >> 1u;", "comparison").is_empty());
    }

    #[test]
    fn literals_move_by_one_within_their_type() {
        assert_eq!(changed("a = x4[2u] + b0;", "literal"), ["a = x4[3u] + b0;", "a = x4[1u] + b0;"]);
        assert_eq!(neighbours("0u"), ["1u"]);
        assert_eq!(neighbours("0x7fffu"), ["0x8000u", "0x7ffeu"]);
        assert_eq!(neighbours("0xffffffffu"), ["0xfffffffeu"]);
        assert_eq!(neighbours("0.5"), ["1.5", "(-0.5)"]);
        assert_eq!(neighbours("7.5e-5"), ["1.000075", "(-0.999925)"]);
        // As f32 they would be what they are.
        assert!(neighbours("3.0e38").is_empty());
        assert_eq!(neighbours("16777216.0"), ["16777215.0"]);
    }

    #[test]
    fn least_and_greatest_are_swapped() {
        assert_eq!(
            changed("a = min(b, max(c, minor));", "extreme"),
            ["a = max(b, max(c, minor));", "a = min(b, min(c, minor));"]
        );
        assert_eq!(changed("a = subgroupMax(b);", "extreme"), ["a = subgroupMin(b);"]);
        assert_eq!(changed("a = subgroupMin(b);", "extreme"), ["a = subgroupMax(b);"]);
    }

    #[test]
    fn neighbouring_subscripts_are_swapped() {
        assert_eq!(changed("a[i][j] = b[f(k)];", "subscripts"), ["a[j][i] = b[f(k)];", "a[i][f(k)] = b[j];"]);
        assert_eq!(changed("a[i + 1u] = b[c[j]];", "subscripts"), ["a[c[j]] = b[i + 1u];"]);
        assert!(changed("a[i] = b[i]; c[j] = d;", "subscripts").is_empty());
    }

    #[test]
    fn conditions_are_negated() {
        assert_eq!(changed("if (a < b || c) { d(); }", "condition"), ["if (!(a < b || c)) { d(); }"]);
        assert_eq!(
            changed("for (var i = f(1u); i < N; i++) { }", "condition"),
            ["for (var i = f(1u); !(i < N); i++) { }"]
        );
        assert!(changed("for (var i = 0u; i < N; i++) { // unroll\n}", "condition").is_empty());
        assert_eq!(
            changed("a = select(b(c, d), e, f == g);", "condition"),
            ["a = select(b(c, d), e, !(f == g));", "a = select(b(c, d), e, f != g);"]
        );
    }

    #[test]
    fn statements_are_dropped_if_a_function_can_do_without() {
        let text = "if (a) { return 1u; }\nlet b = c;\nfor (var i = 0u; i < N; i++) { d += i; }\ne[1] = b;";
        assert_eq!(changed(text, "statement"), ["if (a) {  }", "for (var i = 0u; i < N; i++) {  }", ""]);
        assert_eq!(changed("workgroupBarrier();", "barrier"), [""]);
        assert!(changed("return a;", "statement").is_empty());
        assert!(
            mutants("f", "alias A = vec4f;\nvar<workgroup> b: array<f32, N>;\n")
                .iter()
                .all(|m| m.operator == "literal")
        );
    }

    #[test]
    fn a_mutant_knows_its_place() {
        let text = "fn f() {\n    a = 1u;\n    b();\n    a = 1u;\n}\n";
        let all = mutants("parts/f", text);
        let last = all.iter().rfind(|m| m.operator == "statement").expect("a dropped statement");
        assert_eq!(last.place(), "parts/f.wgsl:4 statement");
        assert_eq!((last.lines(text), last.nth(text)), (["a = 1u;".into(), String::new()], 2));
        assert_eq!(last.apply(text), "fn f() {\n    a = 1u;\n    b();\n    \n}\n");
    }
}
