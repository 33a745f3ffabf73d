//! Every source that any device would be given: linked, parsed, validated and translated for every backend. No adapter
//! is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use wgformer::Caps;
use wgformer::kernel::{ALL, Linked, Tier, linked};
use wgformer::verify::cases;

/// Devices of every tier, and what their kernels may ask of naga.
fn devices() -> [(&'static str, Caps); 4] {
    let with = |cpu, width: (u32, u32)| Caps {
        cpu,
        subgroup: Some(width),
        features: wgpu::Features::SUBGROUP,
        ..Caps::baseline()
    };
    [
        ("baseline", Caps::baseline()),
        ("subgroup", with(false, (8, 128))),
        ("software, 8 lanes", with(true, (8, 8))),
        ("software, 4 lanes", with(true, (4, 4))),
    ]
}

/// What there is on these devices, by its source. Also what none of the cases can run as they are: their weights are not packed.
fn sources() -> BTreeMap<String, Linked> {
    let mut all = BTreeMap::new();
    for (device, caps) in devices() {
        let linked = linked(&caps);
        for op in ALL {
            let can = linked.iter().any(|l| l.spec.op() == *op && l.available.is_ok());
            assert!(can, "{op} has no kernel on {device}");
        }
        all.extend(linked.into_iter().map(|l| (l.spec.source(), l)));
    }
    all
}

/// What WebGPU has without any feature; subgroups where the tier has them.
fn capabilities(tier: Tier) -> Capabilities {
    // `unpack2x16float`: naga asks for a capability, WebGPU has it always.
    let webgpu = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    match tier {
        Tier::Baseline => webgpu,
        Tier::Subgroup | Tier::Software => webgpu | Capabilities::SUBGROUP,
    }
}

fn valid(source: &str, tier: Tier) -> Result<(naga::Module, ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    let mut validator = Validator::new(ValidationFlags::all(), capabilities(tier));
    validator
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(naga::valid::SubgroupOperationSet::all());
    let info = validator.validate(&module).map_err(|e| e.emit_to_string(source))?;
    Ok((module, info))
}

fn to_spirv(module: &naga::Module, info: &ModuleInfo) -> Result<(), String> {
    let options = spv::Options { lang_version: (1, 3), ..Default::default() };
    let words = spv::write_vec(module, info, &options, None).map_err(|e| e.to_string())?;
    if words.first() == Some(&0x0723_0203) { Ok(()) } else { Err("not SPIR-V".into()) }
}

fn to_msl(module: &naga::Module, info: &ModuleInfo) -> Result<(), String> {
    let options = msl::Options { lang_version: (2, 3), ..Default::default() };
    let (text, _) = msl::write_string(module, info, &options, &Default::default()).map_err(|e| e.to_string())?;
    if text.contains("kernel void") { Ok(()) } else { Err("no kernel".into()) }
}

fn to_hlsl(module: &naga::Module, info: &ModuleInfo) -> Result<(), String> {
    let options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_0, ..Default::default() };
    let (mut text, pipeline) = (String::new(), Default::default());
    hlsl::Writer::new(&mut text, &options, &pipeline).write(module, info, None).map_err(|e| e.to_string())?;
    if text.contains("[numthreads(") { Ok(()) } else { Err("no kernel".into()) }
}

type Translate = fn(&naga::Module, &ModuleInfo) -> Result<(), String>;

/// What a backend cannot express: a part of the kernel's name, the backend, a part of the reason that naga gives.
const IMPOSSIBLE: &[(&str, &str, &str)] = &[];

#[test]
fn every_source_is_valid_and_translates() {
    let mut wrong = Vec::new();
    let mut excused = BTreeSet::new();
    let sources = sources();
    for (source, linked) in &sources {
        let name = &linked.name;
        let (module, info) = match valid(source, linked.spec.tier()) {
            Ok(valid) => valid,
            Err(why) => {
                wrong.push(format!("{name}: {why}"));
                continue;
            }
        };
        let backends: [(&str, Translate); 3] = [("SPIR-V", to_spirv), ("MSL", to_msl), ("HLSL", to_hlsl)];
        for (backend, translate) in backends {
            let Err(why) = translate(&module, &info) else { continue };
            let known = IMPOSSIBLE.iter().position(|(n, b, w)| name.contains(n) && *b == backend && why.contains(w));
            match known {
                Some(i) => {
                    excused.insert(i);
                }
                None => wrong.push(format!("{name} to {backend}: {why}")),
            }
        }
    }
    eprintln!("{} sources", sources.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), sources.len(), wrong.join("\n"));
    assert_eq!(excused.len(), IMPOSSIBLE.len(), "a backend can do more than this test knows");
}

#[test]
fn tiers_ask_for_no_more_than_they_say() {
    for (source, linked) in sources() {
        let subgroups = source.contains("subgroup");
        let textures = source.contains("texture_storage");
        if linked.spec.tier() == Tier::Baseline {
            assert!(!subgroups && !textures, "{}", linked.name);
        }
        assert!(!textures || linked.spec.tier() == Tier::Software, "{}", linked.name);
        for line in source.lines().map(str::trim_start) {
            assert!(!line.starts_with("enable ") && !line.starts_with("requires "), "{}: {line}", linked.name);
        }
    }
}

#[test]
fn every_shader_file_is_linked() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut files = BTreeSet::new();
    for (folder, prefix) in [(root.clone(), ""), (root.join("parts"), "parts/")] {
        for entry in std::fs::read_dir(&folder).expect("shaders") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_file() {
                files.insert(format!("{prefix}{name}"));
            } else {
                assert!(prefix.is_empty() && ["parts", "bench"].contains(&name.as_str()), "a folder {name}");
            }
        }
    }
    let sources = sources();
    let linked: BTreeSet<String> = sources
        .keys()
        .flat_map(|source| source.lines())
        .filter_map(|line| line.strip_prefix("// ---- ").map(str::to_owned))
        .collect();
    assert_eq!(files, linked, "left: the files; right: what some kernel links");
    for source in sources.keys() {
        // A file that the linker does not know is linked as nothing.
        assert!(!source.split("\n// ---- ").skip(1).any(|part| part.lines().count() < 2), "{source}");
    }
}

#[test]
fn every_op_has_cases() {
    for op in ALL {
        assert!(!cases::of(op).is_empty(), "{op}");
    }
}

/// WGSL makes a variable without a value 0 whenever its declaration is reached. Chromium 156 does so once: in a loop the
/// next turn finds what the last one left.
#[test]
fn variables_in_blocks_begin_with_a_value() {
    for source in sources().keys() {
        for line in source.lines().filter(|line| line.starts_with("        ")) {
            let bare = line.trim_start().starts_with("var ") && !line.contains('=');
            assert!(!bare, "{line}\n\nin\n\n{source}");
        }
    }
}
