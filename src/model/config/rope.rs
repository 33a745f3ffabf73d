//! RoPE in `config.json`: `rope_theta` with `rope_scaling`, or `rope_parameters` with all of it.

use super::{Config, bounds, config_error};
use crate::Result;
use crate::model::arch::{Position, RopeScaling};

impl Config {
    /// RoPE, in both dialects.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for absurd values, [`crate::Error::Unsupported`] for scalings other than linear and Llama 3's.
    pub(in crate::model) fn rope(&self, max: usize, head_dim: usize) -> Result<Position> {
        self.even(head_dim)?;
        let key = if self.get("rope_parameters").is_some() { "rope_parameters" } else { "rope_scaling" };
        let theta = self.theta("rope_theta", 10000.0)?;
        let (theta, scaling) = self.angles(self.object(key)?, theta, max)?;
        Ok(Position::Rope { theta, max, scaling })
    }

    /// RoPE where layers that see everything and those that see a window have each their own, in both dialects:
    /// `global_rope_theta` and `local_rope_theta` (with these defaults), or `rope_parameters` by the kind of attention. The
    /// second is that of the windows.
    ///
    /// # Errors
    /// As [`Self::rope`].
    pub(in crate::model) fn two_ropes(
        &self,
        max: usize,
        head_dim: usize,
        [global, local]: [f32; 2],
    ) -> Result<(Position, (f32, RopeScaling))> {
        self.even(head_dim)?;
        let all = self.object("rope_parameters")?;
        let side = |kind, theta| match &all {
            Some(all) => self.angles(all.object(kind)?, theta, max),
            None => self.angles(self.object("rope_scaling")?, theta, max),
        };
        let global = self.theta("global_rope_theta", global)?;
        // Null is not absent: it means the other one's.
        let local = if self.is_null("local_rope_theta") { global } else { self.theta("local_rope_theta", local)? };
        let (theta, scaling) = side("full_attention", global)?;
        Ok((Position::Rope { theta, max, scaling }, side("sliding_attention", local)?))
    }

    fn even(&self, head_dim: usize) -> Result<()> {
        match head_dim.is_multiple_of(2) {
            true => Ok(()),
            false => Err(config_error(&self.file, format!("heads are {head_dim} wide, rotation wants an even width"))),
        }
    }

    fn theta(&self, key: &str, default: f32) -> Result<f32> {
        self.f32(key, default, 1.0..=1e12)
    }

    /// The theta of `rope`, or else this one, and how its angles are slowed down.
    fn angles(&self, rope: Option<Self>, theta: f32, max: usize) -> Result<(f32, RopeScaling)> {
        let Some(rope) = rope else { return Ok((theta, RopeScaling::None)) };
        let theta = rope.theta("rope_theta", theta)?;
        let part = rope.f32("partial_rotary_factor", self.f32("partial_rotary_factor", 1.0, 0.0..=1.0)?, 0.0..=1.0)?;
        if part != 1.0 {
            return Err(rope.unsupported("partial_rotary_factor", "only whole heads are rotated"));
        }
        let kind = if rope.get("rope_type").is_some() { "rope_type" } else { "type" };
        let factor = |key: &str| match rope.get(key) {
            Some(_) => rope.f32(key, 1.0, 1e-3..=1e6),
            None => Err(config_error(&rope.file, format!("{key} is missing, expected a number"))),
        };
        let scaling = match rope.str(kind)?.unwrap_or("default") {
            "default" => RopeScaling::None,
            "linear" => RopeScaling::Linear(factor("factor")?),
            "llama3" => RopeScaling::Llama3 {
                factor: factor("factor")?,
                low: factor("low_freq_factor")?,
                high: factor("high_freq_factor")?,
                original: rope.usize("original_max_position_embeddings", max, bounds::POSITIONS)?,
            },
            _ => return Err(rope.unsupported(kind, "only default, linear and llama3 are")),
        };
        Ok((theta, scaling))
    }
}
