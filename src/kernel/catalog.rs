//! Names for specialisations, and lists of them for people: what there is, and what a device would take.

use std::collections::BTreeMap;

use super::{ALL, Attention, Candidate, Choice, Matmul, Op, Role, Spec, View};
use crate::gpu::Caps;
use crate::verify::cases;
use crate::weights::DType;

/// A specialisation by its name.
#[derive(Clone, Debug)]
pub struct Linked {
    /// As [`Spec::name`].
    pub name: String,
    /// The key, which gives the source.
    pub spec: Spec,
    /// Whether this device can run it, or why it cannot.
    pub available: Choice,
}

impl Spec {
    /// `BODY/TIER/VARIANT`, such as `matmul/baseline/rows-16+f32+gelu+bias`: the variant lists what the key departs in from its
    /// plainest form, so that a field added to a key shows here by itself.
    pub fn name(&self) -> String {
        let key = format!("{self:?}");
        let fields = key.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(fields, _)| fields);
        let parts: Vec<String> = split(fields).filter_map(|field| variant(field.trim())).collect();
        let variant = if parts.is_empty() { "plain".into() } else { parts.join("+") };
        format!("{}/{}/{variant}", self.body(), self.tier())
    }
}

/// Splits at the commas that stand in no bracket.
fn split(fields: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    fields.split(move |c| {
        match c {
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
}

/// What `field: value` adds to a name.
fn variant(field: &str) -> Option<String> {
    let (key, value) = field.split_once(": ")?;
    let inner = value.strip_prefix("Some(").and_then(|v| v.strip_suffix(')')).unwrap_or(value).to_lowercase();
    match (key, inner.as_str()) {
        // How many rows, and columns, a body has at a time.
        ("body", body) if body.contains("rows: ") => {
            let numbers = body.split([',', '{', '}']).filter_map(|field| field.trim().split_once(": "));
            let sizes = numbers.filter(|(key, _)| ["rows", "columns"].contains(key));
            Some(sizes.map(|(key, number)| format!("{key}-{number}")).collect::<Vec<_>>().join("+"))
        }
        // Told by the body and the tier, or the plainest form.
        ("body" | "reduce" | "columns", _) | (_, "false" | "none" | "scalar" | "dot" | "own" | "narrow") => None,
        (_, "true") => Some(key.into()),
        ("weight" | "act" | "mode" | "similarity" | "width", _) => Some(inner),
        _ => Some(format!("{key}-{inner}")),
    }
}

/// Every specialisation that the cases of [`cases`] reach on a device like this, sorted by name.
pub fn linked(caps: &Caps) -> Vec<Linked> {
    let mut all = BTreeMap::new();
    let ops = ALL.iter().flat_map(|op| cases::of(op)).map(|case| case.op);
    for candidate in ops.chain(typical().into_iter().map(|(_, op)| op)).flat_map(|op| op.candidates(caps)) {
        let Candidate { spec, available } = candidate;
        all.entry(spec.name()).or_insert((spec, available));
    }
    all.into_iter().map(|(name, (spec, available))| Linked { name, spec, available }).collect()
}

/// A usual problem for every op of [`ALL`], one for each role where the role decides.
pub fn typical() -> Vec<(String, Op<View>)> {
    let matrix = |rows, cols| View::dense(rows, cols, DType::F32);
    let matmul = Matmul::new(matrix(128, 384), matrix(1536, 384), matrix(128, 1536));
    let wide = matrix(128, 384);
    let attention = Attention::new(wide, wide, wide, wide, 12, 32);
    let tap = Attention { y: None, weights: Some(matrix(128, 12 * 128)), ..attention.clone() };
    let mut all: Vec<(String, Op<View>)> = vec![
        ("matmul, whole sequences".into(), matmul.clone().into()),
        ("matmul, decoding".into(), Matmul { role: Role::Decode, ..matmul }.into()),
        ("attention, whole sequences".into(), attention.clone().into()),
        ("attention, decoding".into(), Attention { role: Role::Decode, ..attention }.into()),
        ("attention, tap".into(), tap.into()),
    ];
    for op in ALL.iter().filter(|op| !["matmul", "attention"].contains(op)) {
        all.extend(cases::of(op).into_iter().next().map(|case| ((*op).to_owned(), case.op)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_one_source_each() {
        let software = Caps { cpu: true, subgroup: Some((8, 8)), ..Caps::baseline() };
        for caps in [Caps::baseline(), software] {
            let mut sources: BTreeMap<String, Spec> = BTreeMap::new();
            let ops = ALL.iter().flat_map(|op| cases::of(op)).map(|case| case.op);
            for candidate in ops.flat_map(|op| op.candidates(&caps)) {
                let (name, spec) = (candidate.spec.name(), candidate.spec);
                let known = *sources.entry(name.clone()).or_insert(spec);
                assert_eq!(known.source(), spec.source(), "{name} names {known:?} and {spec:?}");
            }
            assert!(sources.keys().any(|name| name.starts_with("matmul/baseline/rows-16+f32")), "{:?}", sources.keys());
        }
    }

    #[test]
    fn every_op_has_a_typical_problem() {
        let typical = typical();
        for op in ALL {
            assert!(typical.iter().any(|(_, t)| t.name() == *op), "{op}");
        }
        for (name, op) in typical {
            op.check().unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}
