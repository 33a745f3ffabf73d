//! What is whole passes; of a plan with one buffer assignment broken, exactly the op that reads wrong is named.

use super::models::verify_model;
use super::report::{Failure, OpReport, Wrong};
use super::zoo::{self, Specimen};
use crate::Context;
use crate::graph::Plan;
use crate::graph::plan::{Node, Place, bytes_of};
use crate::kernel::Access;

#[path = "../../tests/common/mod.rs"]
mod common;

const REWIRED: &str = " (not what its producer wrote)";

struct Proof {
    gpu: Context,
    specimen: Specimen,
    plans: Vec<Plan>,
}

/// An argument of a dispatch of a plan.
#[derive(Clone, Copy, Debug)]
struct At {
    plan: usize,
    node: usize,
    arg: usize,
}

/// An op in a step, and an argument of it.
type Named = (String, String);

impl Proof {
    fn of(specimen: &str) -> Self {
        let gpu = common::context();
        let specimen = zoo::all().into_iter().find(|s| s.name == specimen).expect("a specimen");
        let plans = specimen.plans(gpu.caps()).expect("plans");
        let proof = Self { gpu, specimen, plans };
        let whole = proof.verify(proof.plans.clone());
        assert!(whole.first.is_none() && whole.kernels.iter().any(|k| k.runs > 0), "{whole:?}");
        proof
    }

    fn verify(&self, plans: Vec<Plan>) -> OpReport {
        common::block_on(verify_model(&self.gpu, &self.specimen, plans, true)).expect("the device runs")
    }

    /// Moves arguments to a place, verifies, and expects the first failure to be this one.
    fn finds(&self, moved: &[At], to: &Place, expected: Named) {
        let mut plans = self.plans.clone();
        for at in moved {
            let plan = &mut plans[at.plan];
            if let Place::Pool(slot) = *to {
                plan.pool[slot] = plan.pool[slot].max(self.bytes(*at));
            }
            plan.nodes[at.node].places[at.arg] = to.clone();
        }
        let found = match self.verify(plans).first {
            Some(Failure { case, wrong: Wrong::Output { argument, .. }, .. }) => (case, argument),
            other => panic!("no op was named: {other:?}"),
        };
        assert_eq!(found, expected, "{moved:?} in {to:?}");
    }

    fn node(&self, at: At) -> &Node {
        &self.plans[at.plan].nodes[at.node]
    }

    fn place(&self, at: At) -> &Place {
        &self.node(at).places[at.arg]
    }

    fn bytes(&self, at: At) -> u64 {
        self.node(at).args().nth(at.arg).map_or(0, |arg| bytes_of(arg.handle.0))
    }

    fn tensor(&self, at: At) -> (usize, usize) {
        (at.plan, self.node(at).tensors[at.arg])
    }

    fn names(&self, at: At, suffix: &str) -> Named {
        let role = self.plans[at.plan].role();
        let step = self.specimen.steps.iter().position(|(r, _)| *r == role).expect("a step of this role");
        let argument = self.node(at).args().nth(at.arg).expect("an argument").name;
        (format!("step {step}, {}", self.node(at).name), format!("{argument}{suffix}"))
    }

    fn all(&self) -> impl Iterator<Item = (At, Access)> {
        self.plans.iter().enumerate().flat_map(|(plan, p)| {
            let args = move |(node, n): (usize, &Node)| {
                let args = n.args().map(|a| a.access).collect::<Vec<_>>().into_iter().enumerate();
                args.map(move |(arg, access)| (At { plan, node, arg }, access))
            };
            p.nodes.iter().enumerate().flat_map(args)
        })
    }

    fn reads(&self) -> impl Iterator<Item = At> {
        self.all().filter(|(_, access)| *access == Access::Read).map(|(at, _)| at)
    }

    fn writes(&self) -> impl Iterator<Item = At> {
        self.all().filter(|(_, access)| *access == Access::Write).map(|(at, _)| at)
    }

    /// Every read of a transient, from a buffer of the pool that is another tensor's.
    fn finds_wrong_reads(&self) -> usize {
        let mut breaks = 0;
        for at in self.reads().filter(|at| matches!(self.place(*at), Place::Pool(_))) {
            let here = |write: &At| (write.plan, write.node) == (at.plan, at.node);
            let written: Vec<&Place> = self.writes().filter(here).map(|write| self.place(write)).collect();
            let wrong = |place: &Place| place != self.place(at) && !written.contains(&place);
            // Now the first, now the last of them.
            let mut others = (0..self.plans[at.plan].pool.len()).map(Place::Pool).filter(wrong);
            let Some(place) = (if at.node % 2 == 0 { others.next() } else { others.next_back() }) else { continue };
            self.finds(&[at], &place, self.names(at, REWIRED));
            breaks += 1;
        }
        breaks
    }

    /// Every op that could write where a tensor lies that is still to be read.
    fn finds_early_reuse(&self) -> usize {
        let mut breaks = 0;
        for write in self.writes().filter(|at| matches!(self.place(*at), Place::Pool(_))) {
            let bound = |tensor| self.node(write).tensors.contains(&tensor);
            let made = |tensor| self.writes().any(|at| self.tensor(at) == tensor && at.node < write.node);
            // The first read, after this op, of a transient that was made before it and that it does not bind.
            let victim = self.reads().find(|at| {
                let (plan, tensor) = self.tensor(*at);
                plan == write.plan && at.node > write.node && !bound(tensor) && made((plan, tensor))
            });
            let Some(victim) = victim.filter(|at| matches!(self.place(*at), Place::Pool(_))) else { continue };
            let all = self.all().map(|(at, _)| at).filter(|at| self.tensor(*at) == self.tensor(write));
            self.finds(&all.collect::<Vec<_>>(), self.place(victim), self.names(victim, REWIRED));
            breaks += 1;
        }
        breaks
    }

    /// Every weight that has a namesake in another layer, in its stead.
    fn finds_wrong_weights(&self) -> usize {
        let mut breaks = 0;
        for at in self.reads() {
            let Place::Weight(own) = self.place(at) else { continue };
            let twin = |place: &Place| match place {
                Place::Weight(key) => key.name != own.name && key.name.replace(".1.", ".0.") == own.name,
                _ => false,
            };
            let Some(twin) = self.reads().map(|at| self.place(at)).find(|place| twin(place)) else { continue };
            let output = self.writes().find(|w| (w.plan, w.node) == (at.plan, at.node)).expect("an output");
            self.finds(&[at], twin, self.names(output, ""));
            breaks += 1;
        }
        breaks
    }
}

#[test]
fn one_wrong_buffer_in_an_encoders_plan_is_named() {
    let proof = Proof::of("encoder");
    let breaks = [proof.finds_wrong_reads(), proof.finds_early_reuse(), proof.finds_wrong_weights()];
    assert!(breaks[0] >= 20 && breaks[1] >= 2 && breaks[2] >= 10, "{breaks:?}");
}

#[test]
fn one_wrong_buffer_in_a_decoders_plans_is_named() {
    let proof = Proof::of("decoder");
    let breaks = [proof.finds_wrong_reads(), proof.finds_early_reuse()];
    assert!(breaks[0] >= 20 && breaks[1] >= 8, "{breaks:?}");
}
