//! What a device can do, as the kernels ask it. A capability is a function that returns `None` where it is missing.

use crate::{Error, Result};

/// What [`Context::new`](crate::Context::new) read from a device: host data, so plans can be made without one.
#[derive(Clone, Debug, PartialEq)]
pub struct Caps {
    /// The limits the device was created with.
    pub limits: wgpu::Limits,
    /// The features the device was created with.
    pub features: wgpu::Features,
    /// The adapter computes on the CPU (lavapipe, SwiftShader, WARP).
    pub cpu: bool,
    /// Smallest and largest subgroup, where the device has subgroups.
    pub subgroup: Option<(u32, u32)>,
}

impl Caps {
    /// Reads a device.
    pub fn of(device: &wgpu::Device) -> Self {
        let info = device.adapter_info();
        let features = device.features();
        let subgroup = features
            .contains(wgpu::Features::SUBGROUP)
            .then_some((info.subgroup_min_size.max(1), info.subgroup_max_size));
        Self { limits: device.limits(), features, cpu: info.device_type == wgpu::DeviceType::Cpu, subgroup }
    }

    /// A device with wgpu's defaults and no optional feature: what everything must run on.
    pub fn baseline() -> Self {
        Self { limits: wgpu::Limits::default(), features: wgpu::Features::empty(), cpu: false, subgroup: None }
    }

    /// Subgroup operations, for kernels that are right for every width.
    pub fn subgroups(&self) -> Result<(), String> {
        self.subgroup.map(|_| ()).ok_or_else(|| "the device was made without SUBGROUP".into())
    }

    /// The width of a software adapter's subgroups: there, one workgroup is one subgroup and needs no barrier.
    pub fn lanes(&self) -> Result<u32, String> {
        match self.subgroup {
            _ if !self.cpu => Err("not a software adapter".into()),
            None => Err("the device was made without SUBGROUP".into()),
            Some((min, max)) if min != max || !(4..=16).contains(&min) => Err(format!("subgroups of {min} to {max}")),
            Some((width, _)) => Ok(width),
        }
    }

    /// An error unless `limit` is at least `need`.
    pub(crate) fn limit(&self, what: &str, limit: &'static str, need: u64, have: u64) -> Result<()> {
        if need <= have {
            return Ok(());
        }
        let remedy = format!("create the device with the limits of `wgformer::wanted`, or raise {limit}");
        Err(Error::Limit { what: what.into(), limit, need, have, remedy })
    }
}

/// What an engine should ask for when it creates its device; with less (a default device, even) everything still works,
/// on slower kernels and for smaller models.
pub fn wanted(adapter: &wgpu::Adapter) -> (wgpu::Features, wgpu::Limits) {
    use wgpu::Features;
    let features = Features::SUBGROUP
        | Features::SHADER_F16
        | Features::TIMESTAMP_QUERY
        | Features::TIMESTAMP_QUERY_INSIDE_ENCODERS
        | Features::PIPELINE_CACHE;
    let have = adapter.limits();
    let limits = wgpu::Limits {
        max_buffer_size: have.max_buffer_size,
        max_storage_buffer_binding_size: have.max_storage_buffer_binding_size,
        max_texture_dimension_2d: have.max_texture_dimension_2d,
        ..wgpu::Limits::default()
    };
    (adapter.features() & features, limits.or_worse_values_from(&have))
}
