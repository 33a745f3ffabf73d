//! A shaded table: the darker, the more a row attends to a column.

use std::io::IsTerminal;

use super::view::{Choice, Map, View};

/// From none of the row's largest weight to all of it.
const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];
/// Where nothing says how wide the terminal is.
const COLUMNS: usize = 100;
/// A name longer than this is cut.
const NAME: usize = 24;

/// How wide the table may be.
pub fn columns() -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    // What is not a terminal is as wide as it takes.
    if std::io::stdout().is_terminal() { said.unwrap_or(COLUMNS) } else { usize::MAX }
}

/// The table, in several parts where it is too wide; at the end of a row what it attends to most.
pub fn table(view: &View, width: usize) -> String {
    let Some(map) = view.main() else { return String::new() };
    let matrix = map.matrix(view.choice);
    let names: Vec<String> = map.rows.iter().map(|name| short(name)).collect();
    let columns: Vec<String> = map.columns.iter().map(|name| short(name)).collect();
    let first = names.iter().map(|name| wide(name)).max().unwrap_or(0) + 2;
    let last = columns.iter().map(|name| wide(name)).max().unwrap_or(0) + 8;
    let mut out = heading(map, view.choice);
    for part in parts(&columns, width.saturating_sub(first + last)) {
        out += &format!("\n{}", " ".repeat(first));
        columns[part.clone()].iter().for_each(|name| out += &format!("{name} "));
        for (row, name) in names.iter().enumerate() {
            let weights = &matrix[row * columns.len()..][..columns.len()];
            let (peak, most) =
                weights.iter().enumerate().fold((0, 0.0), |best, (i, &w)| if w > best.1 { (i, w) } else { best });
            out += &format!("\n{name}{}", " ".repeat(first - wide(name)));
            for column in part.clone() {
                let cell = shade(weights[column], most).to_string().repeat(wide(&columns[column]));
                out += &format!("{cell} ");
            }
            out += &format!(" {} {:.0} %", columns[peak], 100.0 * most);
        }
        out.push('\n');
    }
    out
}

fn heading(map: &Map, choice: Choice) -> String {
    let of = |what: &str, chosen: Option<usize>, all: usize| match chosen {
        Some(one) => format!("{what} {one}"),
        None => format!("mean of {all} {what}s"),
    };
    let (layer, head) = (of("layer", choice.layer, map.layers), of("head", choice.head, map.heads));
    format!("{}, {layer}, {head}; each row attends to the columns, most to what is named at its end\n", map.kind.name())
}

/// Neighbouring columns that fit the width; at least one.
fn parts(columns: &[String], width: usize) -> Vec<std::ops::Range<usize>> {
    let mut parts: Vec<std::ops::Range<usize>> = Vec::new();
    let mut used = 0;
    for (i, name) in columns.iter().enumerate() {
        let wide = wide(name) + 1;
        match parts.last_mut() {
            Some(part) if used + wide <= width => {
                part.end = i + 1;
                used += wide;
            }
            _ => {
                parts.push(i..i + 1);
                used = wide;
            }
        }
    }
    parts
}

fn shade(weight: f32, most: f32) -> char {
    let level = if most > 0.0 { (weight / most * 4.0).round() as usize } else { 0 };
    SHADES[level.min(4)]
}

/// A name without control characters, not too long, never empty.
fn short(name: &str) -> String {
    let clean: String = name.chars().map(|c| if c.is_control() { '·' } else { c }).take(NAME).collect();
    if clean.trim().is_empty() { "·".into() } else { clean }
}

/// How many cells of a terminal a text takes: East Asian characters take two, marks none.
fn wide(text: &str) -> usize {
    let cells = |c: char| match u32::from(c) {
        0x300..=0x36f
        | 0x483..=0x489
        | 0x591..=0x5bd
        | 0x610..=0x61a
        | 0x64b..=0x65f
        | 0x200b..=0x200f
        | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff => 2,
        0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    };
    text.chars().map(cells).sum()
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::made_up;
    use super::*;

    #[test]
    fn a_table() {
        let mut view = made_up();
        view.choice = Choice { layer: Some(0), head: Some(1) };
        let expected = "\
cross-attention, layer 0, head 1; each row attends to the columns, most to what is named at its end

       the </script> 猫 . \n\
▁le    ░░░ █████████ ░░ ░  </script> 50 %
▁chat  ░░░ ░░░░░░░░░ ██ ░  猫 50 %
.      ░░░ ░░░░░░░░░ ░░ █  . 50 %
";
        assert_eq!(table(&view, 100), expected);
    }

    #[test]
    fn a_narrow_table_is_in_parts() {
        let whole = table(&made_up(), 100);
        let narrow = table(&made_up(), 10);
        assert_eq!(whole.matches("▁chat").count(), 1);
        assert_eq!(narrow.matches("▁chat").count(), 4);
    }

    #[test]
    fn awkward_names() {
        assert_eq!(short("a\nb\u{1b}["), "a·b·[");
        assert_eq!(short(" "), "·");
        assert_eq!(short(&"x".repeat(99)).len(), NAME);
        assert_eq!((wide("猫"), wide("e\u{301}"), wide("ab")), (2, 1, 2));
        assert_eq!(shade(f32::MIN_POSITIVE, 0.0), ' ');
    }
}
