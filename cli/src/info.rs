//! `wgformer info`: what there is to run on, and what would run there.

use std::fmt::Write;
use std::process::ExitCode;

use wgformer::{Caps, kernel};

use crate::device::{self, adapters, context, describe};
use crate::output::{Failure, print};

/// The adapters with their limits, features and tiers, and the kernel that each op would take on the chosen one
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wgformer info
  wgformer info --adapter 0
  wgformer info --device cpu        (the kernels of a device without any optional feature)")]
pub struct Args {}

pub fn run(device: &device::Args, _: Args) -> Result<ExitCode, Failure> {
    let mut text = String::new();
    let all = adapters();
    if all.is_empty() {
        let _ = writeln!(text, "{}\n", wgformer::Error::NoAdapter);
    }
    for (i, adapter) in all.iter().enumerate() {
        let _ = writeln!(text, "adapter {i}: {}", describe(&adapter.get_info()));
        match context(adapter, device.quiet) {
            Ok(gpu) => {
                capabilities(&mut text, gpu.caps());
                matrix_units(&mut text, adapter);
            }
            Err(Failure::Message(why)) => drop(writeln!(text, "  cannot be used: {why}")),
            Err(closed) => return Err(closed),
        }
        text.push('\n');
    }
    print(&text)?;
    let opened = device.open()?;
    let mut text = String::new();
    match opened.gpu() {
        Some(gpu) => candidates(&mut text, &gpu.device().adapter_info().name, gpu.caps()),
        None => candidates(&mut text, "a device without optional features", &Caps::baseline()),
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn capabilities(text: &mut String, caps: &Caps) {
    let l = &caps.limits;
    let limits = [
        ("max_storage_buffer_binding_size", mib(l.max_storage_buffer_binding_size)),
        ("max_buffer_size", mib(l.max_buffer_size)),
        ("max_texture_dimension_2d", l.max_texture_dimension_2d.to_string()),
        ("max_storage_buffers_per_shader_stage", l.max_storage_buffers_per_shader_stage.to_string()),
        ("max_compute_invocations_per_workgroup", l.max_compute_invocations_per_workgroup.to_string()),
        ("max_compute_workgroup_storage_size", l.max_compute_workgroup_storage_size.to_string()),
        ("max_compute_workgroups_per_dimension", l.max_compute_workgroups_per_dimension.to_string()),
    ];
    for (name, value) in limits {
        let _ = writeln!(text, "  {name:<38} {value}");
    }
    let features: Vec<&str> = caps.features.iter_names().map(|(name, _)| name).collect();
    let none = if features.is_empty() { "none" } else { "" };
    let _ = writeln!(text, "  features used   {none}{}", features.join(" "));
    let _ = writeln!(text, "  tier baseline   available");
    let width = || caps.subgroup.map_or(String::new(), |(min, max)| format!(", subgroups of {min} to {max}"));
    let _ = writeln!(text, "  tier subgroup   {}", tier(caps.subgroups().map(|()| width())));
    let _ = writeln!(text, "  tier software   {}", tier(caps.lanes().map(|n| format!(", {n} lanes"))));
}

/// What the adapter's matrix units multiply; no kernel uses them yet.
fn matrix_units(text: &mut String, adapter: &wgpu::Adapter) {
    let all = adapter.cooperative_matrix_properties();
    let of = |p: &wgpu::CooperativeMatrixProperties| {
        format!("{}x{}x{} {:?} to {:?}", p.m_size, p.n_size, p.k_size, p.ab_type, p.cr_type).to_lowercase()
    };
    let units: Vec<String> = all.iter().map(of).collect();
    let units = if units.is_empty() { "none that wgpu reaches".into() } else { units.join(", ") };
    let _ = writeln!(text, "  matrix units    {units}");
}

fn tier(choice: Result<String, String>) -> String {
    match choice {
        Ok(how) => format!("available{how}"),
        Err(why) => format!("not available: {why}"),
    }
}

fn candidates(text: &mut String, device: &str, caps: &Caps) {
    let _ = writeln!(text, "kernels on {device}, best first:");
    for (name, op) in kernel::typical() {
        let mut taken = false;
        for candidate in op.candidates(caps) {
            let what = match &candidate.available {
                Ok(()) if !taken => "taken",
                Ok(()) => "available",
                Err(why) => why,
            };
            let _ = writeln!(text, "  {:<27} {:<46} {what}", name_once(&name, taken), candidate.spec.name());
            taken |= candidate.available.is_ok();
        }
    }
}

/// The name on the line of the kernel that is taken and those before it.
fn name_once(name: &str, taken: bool) -> &str {
    if taken { "" } else { name }
}

fn mib(bytes: impl Into<u64>) -> String {
    format!("{} MiB", bytes.into() >> 20)
}
