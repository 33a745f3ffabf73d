//! Where to compute: the choice of an adapter, and the line that tells of it.

use clap::ValueEnum;
use wgformer::Context;
use wgformer::blocking::block_on;
use wgformer::model::{Blueprint, Model};

use crate::kept;
use crate::output::{Failure, note};

/// Options that every command has.
#[derive(clap::Args)]
pub struct Args {
    /// Where to compute. auto: the best GPU, else a software adapter, else the CPU; gpu: the best adapter that wgpu reaches,
    /// software ones included; cpu: the reference, slow but sure
    #[arg(long, value_enum, default_value = "auto", global = true)]
    device: Kind,
    /// A certain adapter: its number in `wgformer info`, or a part of its name
    #[arg(long, value_name = "N|NAME", global = true)]
    adapter: Option<String>,
    /// No notes on standard error, only errors
    #[arg(long, global = true)]
    pub quiet: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Auto,
    Gpu,
    Cpu,
}

/// What was chosen.
pub enum Device {
    /// An adapter.
    Gpu(Context),
    /// The reference.
    Cpu,
}

impl Device {
    /// The context, if it is a GPU.
    pub fn gpu(&self) -> Option<&Context> {
        match self {
            Self::Gpu(gpu) => Some(gpu),
            Self::Cpu => None,
        }
    }

    /// A model on this device.
    pub fn model(&self, blueprint: Blueprint) -> Result<Model, Failure> {
        match self {
            Self::Gpu(gpu) => Ok(block_on(gpu, Model::build(gpu, blueprint))?),
            Self::Cpu => Ok(Model::on_cpu(blueprint)),
        }
    }
}

impl Args {
    /// Opens what was asked for, and says so.
    pub fn open(&self) -> Result<Device, Failure> {
        let device = self.choose()?;
        self.tell(&device);
        Ok(device)
    }

    /// Says where it runs.
    pub fn tell(&self, device: &Device) {
        if !self.quiet {
            note(&match device {
                Device::Gpu(gpu) => format!("on {}; tier {}", describe(&gpu.device().adapter_info()), tier(gpu.caps())),
                Device::Cpu => "on the CPU reference (f32); no GPU is used".into(),
            });
        }
    }

    /// Opens what was asked for.
    pub fn choose(&self) -> Result<Device, Failure> {
        match (self.device, &self.adapter) {
            (Kind::Cpu, Some(_)) => {
                Err(Failure::new("--adapter chooses a GPU; leave it out, or leave out `--device cpu`"))
            }
            (Kind::Cpu, None) => Ok(Device::Cpu),
            (_, Some(wanted)) => {
                let adapters = adapters();
                context(&adapters[find(&adapters, wanted)?], self.quiet).map(Device::Gpu)
            }
            (kind, None) => best(kind, self.quiet),
        }
    }
}

fn best(kind: Kind, quiet: bool) -> Result<Device, Failure> {
    let mut adapters = adapters();
    adapters.sort_by_key(|adapter| rank(adapter.get_info().device_type));
    let mut failure = Failure::from(wgformer::Error::NoAdapter);
    for adapter in &adapters {
        match context(adapter, quiet) {
            Ok(gpu) => return Ok(Device::Gpu(gpu)),
            Err(e) => failure = e,
        }
    }
    if kind == Kind::Auto { Ok(Device::Cpu) } else { Err(failure) }
}

fn rank(kind: wgpu::DeviceType) -> u32 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

/// All adapters, in wgpu's order.
pub fn adapters() -> Vec<wgpu::Adapter> {
    // No surface is ever made, so the backends that need a display are not even asked.
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let descriptor = wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() };
    let instance = wgpu::Instance::new(descriptor);
    block_on(None, instance.enumerate_adapters(backends))
}

/// The index of an adapter, given as such or as a part of its name.
fn find(adapters: &[wgpu::Adapter], wanted: &str) -> Result<usize, Failure> {
    if adapters.is_empty() {
        return Err(wgformer::Error::NoAdapter.into());
    }
    let names: Vec<String> = adapters.iter().map(|adapter| adapter.get_info().name).collect();
    let by_number = wanted.parse().ok().filter(|&n| n < names.len());
    let by_name = || names.iter().position(|name| name.to_lowercase().contains(&wanted.to_lowercase()));
    by_number.or_else(by_name).ok_or_else(|| {
        let list: Vec<String> = names.iter().enumerate().map(|(i, name)| format!("{i} {name}")).collect();
        Failure::new(format!("no adapter {wanted:?}; there are: {}", list.join(", ")))
    })
}

/// A device of this adapter with what wgformer wants.
pub fn context(adapter: &wgpu::Adapter, quiet: bool) -> Result<Context, Failure> {
    let (required_features, required_limits) = wgformer::wanted(adapter);
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("wgformer"),
        required_features,
        required_limits,
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        ..Default::default()
    };
    let (device, queue) = block_on(None, adapter.request_device(&descriptor))
        .map_err(|e| wgformer::Error::NoDevice(format!("{}: {e}", adapter.get_info().name)))?;
    let gpu = kept::context(&device, &queue, quiet)?;
    if adapter.get_info().device_type == wgpu::DeviceType::Cpu {
        let adapter = adapter.clone();
        gpu.set_helpers(move || block_on(None, adapter.request_device(&descriptor)).ok());
    }
    Ok(gpu)
}

/// Name, backend, kind and driver.
pub fn describe(info: &wgpu::AdapterInfo) -> String {
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete GPU",
        wgpu::DeviceType::IntegratedGpu => "integrated GPU",
        wgpu::DeviceType::VirtualGpu => "virtual GPU",
        wgpu::DeviceType::Cpu => "software adapter",
        wgpu::DeviceType::Other => "adapter of unknown kind",
    };
    let driver = [&info.driver, &info.driver_info].map(|s| s.trim()).join(" ");
    let driver = if driver.trim().is_empty() { "unknown".into() } else { driver };
    format!("{}, {} ({kind}), driver {}", info.name, info.backend, driver.trim())
}

/// The best tier that a device has.
pub fn tier(caps: &wgformer::Caps) -> &'static str {
    match (caps.lanes(), caps.subgroups()) {
        (Ok(_), _) => "software",
        (_, Ok(())) => "subgroup",
        _ => "baseline",
    }
}
