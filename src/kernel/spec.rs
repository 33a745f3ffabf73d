//! Keys of specialisations, and what a dispatch is made of.

use super::{argmax, attention, embed, gate, matmul, norm, pool, qkv, softmax, topk};
use crate::gpu::link::{self, Link};
use crate::graph::step::{Counts, Domain};

/// What a kernel asks of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// No optional feature, wgpu's default limits.
    Baseline,
    /// Subgroup operations, right for every width.
    Subgroup,
    /// A software adapter: one subgroup a workgroup, no barriers, weights in read-only storage textures.
    Software,
}

impl std::fmt::Display for Tier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Baseline => "baseline",
            Self::Subgroup => "subgroup",
            Self::Software => "software",
        })
    }
}

/// How a workgroup adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduce {
    /// A tree over workgroup memory; 64 invocations, more where rows are wide.
    Workgroup,
    /// Subgroups, then workgroup memory; as many.
    Subgroup,
    /// The workgroup is one subgroup of this width.
    Lanes(u32),
}

impl Reduce {
    pub(crate) fn tier(self) -> Tier {
        match self {
            Self::Workgroup => Tier::Baseline,
            Self::Subgroup => Tier::Subgroup,
            Self::Lanes(_) => Tier::Software,
        }
    }

    /// All three, best first on the device that has them.
    pub(crate) fn choices(caps: &crate::gpu::Caps) -> [(Self, Choice); 3] {
        let lanes = caps.lanes();
        [
            (Self::Lanes(*lanes.as_ref().unwrap_or(&8)), lanes.map(|_| ())),
            (Self::Subgroup, caps.subgroups()),
            (Self::Workgroup, Ok(())),
        ]
    }

    pub(crate) fn link(self, link: Link) -> Link {
        self.link_wide(link, 64)
    }

    /// As [`Self::link`], with so many invocations a workgroup where it is not one subgroup.
    pub(crate) fn link_wide(self, link: Link, group: u32) -> Link {
        let (part, size) = match self {
            Self::Workgroup => ("parts/reduce_workgroup", group),
            Self::Subgroup => ("parts/reduce_subgroup", group),
            Self::Lanes(width) => ("parts/reduce_lanes", width),
        };
        link.part(part).number("WG", size)
    }

    /// `reduce_best`, beside what [`Self::link`] brings.
    pub(crate) fn link_best(self, link: Link) -> Link {
        let part = match self {
            Self::Workgroup => "parts/best_workgroup",
            Self::Subgroup => "parts/best_subgroup",
            Self::Lanes(_) => "parts/best_lanes",
        };
        link.part("parts/rank").part(part)
    }
}

/// Rows by their width, which alone decides how many invocations of a GPU's workgroup go through one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Width {
    /// Up to 256 columns, 64 invocations; every row where a workgroup is one subgroup.
    Narrow,
    /// Up to 512 columns, 128 invocations.
    Middle,
    /// Up to 1024 columns, 256 invocations.
    Wide,
    /// More than 256 invocations hold.
    Long,
}

impl Width {
    /// Elements that an invocation has on their way at a time.
    const HELD: u32 = 4;

    pub fn of(reduce: Reduce, cols: usize) -> Self {
        match cols {
            _ if reduce.tier() == Tier::Software => Self::Narrow,
            0..=256 => Self::Narrow,
            257..=512 => Self::Middle,
            513..=1024 => Self::Wide,
            _ => Self::Long,
        }
    }

    /// `HELD`, and whether a workgroup holds the `WHOLE` row.
    pub fn link(self, reduce: Reduce, link: Link) -> Link {
        let group = match self {
            Self::Narrow => 64,
            Self::Middle => 128,
            Self::Wide | Self::Long => 256,
        };
        reduce.link_wide(link, group).number("HELD", Self::HELD).flag("WHOLE", self != Self::Long)
    }
}

/// How an op without reductions goes through the columns of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Columns {
    /// A software adapter's subgroup of this width.
    Lanes(u32),
    /// A GPU's workgroup.
    Workgroup,
}

impl Columns {
    /// Best first on the device that has both.
    pub fn choices(caps: &crate::gpu::Caps) -> [(Self, Choice); 2] {
        let lanes = caps.lanes();
        [(Self::Lanes(*lanes.as_ref().unwrap_or(&8)), lanes.map(|_| ())), (Self::Workgroup, Ok(()))]
    }

    pub fn tier(self) -> Tier {
        match self {
            Self::Lanes(_) => Tier::Software,
            Self::Workgroup => Tier::Baseline,
        }
    }

    /// Invocations, elements that each has on their way at a time, elements of a workgroup: all at once on a GPU, where
    /// memory is far.
    fn numbers(self) -> [u32; 3] {
        match self {
            Self::Lanes(width) => [width, 1, 256],
            Self::Workgroup => [128, 4, 512],
        }
    }

    /// Workgroups for a row.
    pub fn times(self, cols: u32) -> u32 {
        cols.div_ceil(self.numbers()[2])
    }

    pub fn link(self, link: Link) -> Link {
        let [width, ahead, elements] = self.numbers();
        link.number("WG", width).number("AHEAD", ahead).number("ELEMENTS", elements)
    }
}

/// Whether this device can run a kernel, or why it cannot.
pub type Choice = std::result::Result<(), String>;

/// A kernel for an op, and whether this device can run it.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The kernel.
    pub spec: Spec,
    /// Whether this device can run it, or why it cannot.
    pub available: Choice,
}

impl Candidate {
    pub(crate) fn new(spec: impl Into<Spec>, available: Choice) -> Self {
        Self { spec: spec.into(), available }
    }
}

macro_rules! specs {
    ($($op:ident $module:ident)*) => {
        /// The key of one specialisation: all that its source depends on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Spec { $($op($module::Spec)),* }

        $(impl From<$module::Spec> for Spec { fn from(spec: $module::Spec) -> Self { Self::$op(spec) } })*

        impl Spec {
            fn link(&self) -> Link { match self { $(Self::$op(spec) => spec.link()),* } }

            /// What it asks of the device.
            pub fn tier(&self) -> Tier { match self { $(Self::$op(spec) => spec.tier()),* } }

            /// The op it computes.
            pub fn op(&self) -> &'static str { match self { $(Self::$op(_) => stringify!($module)),* } }
        }
    };
}
specs! {
    Matmul matmul
    Softmax softmax
    Norm norm
    Attention attention
    Embed embed
    Gate gate
    Qkv qkv
    Pool pool
    Argmax argmax
    Topk topk
}

impl Spec {
    /// The linked WGSL.
    pub fn source(&self) -> String {
        self.link().text(|name| link::file(name).into())
    }

    /// The files that it is linked from: names without the extension, below `shaders/`.
    pub fn files(&self) -> Vec<&'static str> {
        self.link().files().collect()
    }

    /// As [`Self::source`], with another text for one of [`Self::files`]: how tests break a kernel.
    pub fn source_with(&self, file: &str, text: &str) -> String {
        self.link().text(|name| if name == file { text.to_owned().into() } else { link::file(name).into() })
    }

    /// The body's name: `shaders/BODY.wgsl`.
    pub fn body(&self) -> &'static str {
        self.link().body()
    }

    /// Body and tier, for people.
    pub fn label(&self) -> String {
        format!("{} ({})", self.body(), self.tier())
    }

    /// Heights of the tiles that it works on.
    pub(crate) fn heights(&self) -> Vec<u32> {
        match self {
            Self::Attention(spec) => vec![spec.height()],
            _ => Vec::new(),
        }
    }

    /// The argument is read from a storage texture of this format: a packed weight, or a mirror.
    pub(crate) fn texture(&self, argument: &str) -> Option<wgpu::TextureFormat> {
        match self {
            Self::Matmul(spec) if argument == "w" => spec.texture(),
            Self::Embed(spec) if argument == "word" => spec.texture(),
            _ => self.mirrors(argument).then_some(wgpu::TextureFormat::Rgba32Float),
        }
    }

    /// The argument is read from a texture with a copy of its buffer: made right before the dispatch, or one that stands.
    pub(crate) fn mirrors(&self, argument: &str) -> bool {
        match self {
            Self::Matmul(spec) => spec.mirrors(argument),
            Self::Attention(spec) => spec.mirrors(argument),
            Self::Norm(spec) => spec.mirrors(argument),
            _ => false,
        }
    }

    /// It is for mirrors that stand: one made for its sake costs more than it saves.
    pub(crate) fn wants_standing(&self) -> bool {
        matches!(self, Self::Attention(spec) if spec.wants_standing())
    }
}

/// How many workgroups a dispatch has, told by the step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Work {
    /// None.
    #[default]
    Nothing,
    /// `times` workgroups for every `per` rows, rounded up.
    Rows { domain: Domain, per: u32, times: u32 },
    /// `times` for every tile of `height` query rows of a sequence.
    Tiles { height: u32, times: u32 },
    /// `times` for every sequence.
    Sequences { times: u32 },
}

impl Work {
    pub fn groups(&self, counts: &Counts) -> u64 {
        match *self {
            Self::Nothing => 0,
            Self::Rows { domain, per, times } => u64::from(counts.rows(domain).div_ceil(per)) * u64::from(times),
            Self::Tiles { height, times } => u64::from(counts.tiles(height)) * u64::from(times),
            Self::Sequences { times } => u64::from(counts.sequences) * u64::from(times),
        }
    }
}

/// Constants and geometry of a dispatch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Dispatch {
    pub constants: Vec<u8>,
    pub work: Work,
}

impl Dispatch {
    pub fn new(constants: &impl bytemuck::NoUninit, work: Work) -> Self {
        Self { constants: bytemuck::bytes_of(constants).to_vec(), work }
    }
}
