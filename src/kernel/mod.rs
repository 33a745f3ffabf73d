//! The ops: what each computes, the shapes it takes, and the kernels that compute it.
//!
//! One argument struct per op, generic over the handle `T`: a [`crate::Slice`] of a caller's buffer (level 1), a graph's
//! tensor, or a host tensor (reference). A file per op holds its struct, its shape check, its specialisations and its
//! cases; [`ALL`] is the one registry.

#[macro_use]
mod declare;
pub mod argmax;
pub mod attention;
mod catalog;
pub mod embed;
pub mod gate;
pub mod matmul;
pub mod norm;
pub mod pool;
pub mod qkv;
pub mod softmax;
mod spec;
pub mod topk;

pub use argmax::Argmax;
pub use attention::{Attention, Keys, Similarity};
pub use catalog::{Linked, linked, typical};
pub use embed::Embed;
pub use gate::Gate;
pub use matmul::{Batch, Layout, Matmul};
pub use norm::Norm;
pub use pool::Pool;
pub use qkv::Qkv;
pub use softmax::Softmax;
pub use spec::{Candidate, Choice, Reduce, Spec, Tier};
pub(crate) use spec::{Dispatch, Work};
pub use topk::Topk;

use crate::gpu::Caps;
use crate::graph::step::Domain;
use crate::weights::DType;
use crate::{Error, Result};

/// A matrix within a buffer: element (r, c) lies at `offset + r * stride + c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// Elements before the first.
    pub offset: usize,
    /// Elements from one row to the next.
    pub stride: usize,
    /// Element type.
    pub dtype: DType,
}

impl View {
    /// A dense matrix at the start of its buffer.
    pub fn dense(rows: usize, cols: usize, dtype: DType) -> Self {
        Self { rows, cols, offset: 0, stride: cols, dtype }
    }

    /// Elements from the start of the buffer to the end of the last row.
    pub fn end(&self) -> usize {
        match self.rows.checked_sub(1) {
            None => self.offset,
            Some(above) => above.saturating_mul(self.stride).saturating_add(self.cols).saturating_add(self.offset),
        }
    }

    /// Every row begins and ends on a multiple of four elements.
    pub(crate) fn aligned(&self) -> bool {
        [self.offset, self.stride, self.cols].iter().all(|n| n % 4 == 0)
    }

    fn words(&self) -> [u32; 2] {
        [self.offset as u32, self.stride as u32]
    }
}

/// Which part of a step a plan computes: a kernel may be chosen by it. By the number of rows only its tiles may, and only if
/// that changes no bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Role {
    /// Whole sequences: an encoder's pass.
    #[default]
    Full,
    /// A prompt, into the KV cache.
    Prefill,
    /// One token a sequence.
    Decode,
    /// A head by itself, over rows that another role has left.
    Head,
}

/// How an op touches an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It reads it.
    Read,
    /// It writes it.
    Write,
}

/// One tensor argument of an op.
#[derive(Clone, Copy, Debug)]
pub struct Arg<T> {
    /// The field's name.
    pub name: &'static str,
    /// Read or written.
    pub access: Access,
    /// Its binding number in the shader: 0 is the op's constants, 1 the step's integers.
    pub binding: u32,
    /// The handle.
    pub handle: T,
}

macro_rules! ops {
    ($($op:ident $name:literal)*) => {
        /// Any op.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)]
        pub enum Op<T> { $($op($op<T>)),* }

        $(impl<T> From<$op<T>> for Op<T> { fn from(op: $op<T>) -> Self { Self::$op(op) } })*

        /// The names of all ops: tests, benches and `verify` loop over this.
        pub const ALL: &[&str] = &[$($name),*];

        impl<T> Op<T> {
            /// The op's name.
            pub fn name(&self) -> &'static str { match self { $(Self::$op(_) => $name),* } }

            /// The same op over other handles.
            pub fn map<U>(&self, f: &mut dyn FnMut(&T) -> U) -> Op<U> {
                match self { $(Self::$op(op) => Op::$op(op.map(f))),* }
            }

            /// The tensor arguments that are present, in binding order.
            pub fn args(&self) -> Vec<Arg<&T>> { match self { $(Self::$op(op) => op.args()),* } }
        }

        impl Op<View> {
            /// Checks shapes and dtypes.
            pub fn check(&self) -> Result<()> { match self { $(Self::$op(op) => op.check()),* } }

            /// Every kernel for this op, best first; those that this device cannot run say why.
            pub fn candidates(&self, caps: &Caps) -> Vec<Candidate> { match self { $(Self::$op(op) => op.candidates(caps)),* } }

            /// Constants and geometry of one dispatch with a kernel of [`Self::candidates`].
            pub(crate) fn dispatch(&self, spec: &Spec, domain: Domain) -> Dispatch { match self { $(Self::$op(op) => op.dispatch(spec, domain)),* } }
        }
    };
}

ops! {
    Matmul "matmul"
    Softmax "softmax"
    Norm "norm"
    Attention "attention"
    Embed "embed"
    Gate "gate"
    Qkv "qkv"
    Pool "pool"
    Argmax "argmax"
    Topk "topk"
}

impl Op<View> {
    /// Elements that an argument takes beyond its view: a batch's other products.
    pub(crate) fn beyond(&self, argument: &str) -> usize {
        match self {
            Self::Matmul(op) => op.beyond(argument),
            _ => 0,
        }
    }

    /// The first kernel that this device can run.
    pub fn choose(&self, caps: &Caps) -> Result<Spec> {
        self.choose_where(caps, |_| true)
    }

    /// The first kernel that this device can run and that the caller's buffers allow.
    pub(crate) fn choose_where(&self, caps: &Caps, allowed: impl Fn(&Spec) -> bool) -> Result<Spec> {
        let mut reasons = Vec::new();
        for candidate in self.candidates(caps) {
            match candidate.available {
                Ok(()) if allowed(&candidate.spec) => return Ok(candidate.spec),
                Ok(()) => reasons.push(format!("{}: a buffer lacks COPY_SRC or is a weight", candidate.spec.label())),
                Err(why) => reasons.push(format!("{}: {why}", candidate.spec.label())),
            }
        }
        Err(Error::Unsupported { what: self.name().into(), why: reasons.join("; ") })
    }
}

/// Shape checks, in the words of [`Error::Shape`].
pub(crate) struct Checker(pub &'static str);

impl Checker {
    pub fn shape(&self, what: &'static str, v: &View, rows: usize, cols: usize) -> Result<()> {
        self.ok(
            what,
            v.rows == rows && v.cols == cols,
            || format!("[{rows}, {cols}]"),
            || format!("[{}, {}]", v.rows, v.cols),
        )
    }

    pub fn dtype(&self, what: &'static str, v: &View, allowed: &[DType]) -> Result<()> {
        let names = || allowed.iter().map(|d| d.to_string()).collect::<Vec<_>>().join(" or ");
        self.ok(what, allowed.contains(&v.dtype), names, || v.dtype.to_string())
    }

    /// Shape and f32.
    pub fn floats(&self, what: &'static str, v: &View, rows: usize, cols: usize) -> Result<()> {
        self.shape(what, v, rows, cols)?;
        self.dtype(what, v, &[DType::F32])
    }

    pub fn ok(
        &self,
        what: &'static str,
        ok: bool,
        expected: impl FnOnce() -> String,
        got: impl FnOnce() -> String,
    ) -> Result<()> {
        if ok { Ok(()) } else { Err(Error::Shape { op: self.0, what, expected: expected(), got: got() }) }
    }

    /// Sizes that shaders count in u32, and rows that do not overlap.
    pub fn views(&self, views: &[Arg<&View>]) -> Result<()> {
        for arg in views {
            let v = arg.handle;
            self.ok(arg.name, v.cols >= 1, || "at least one column".into(), || "none".into())?;
            self.ok(
                arg.name,
                v.stride >= v.cols || v.rows <= 1,
                || format!("a stride of {} or more", v.cols),
                || v.stride.to_string(),
            )?;
            self.ok(
                arg.name,
                v.end() <= u32::MAX as usize,
                || "fewer than 2^32 elements".into(),
                || v.end().to_string(),
            )?;
        }
        Ok(())
    }
}
