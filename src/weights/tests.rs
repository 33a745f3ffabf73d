//! Valid files read back, and hostile ones refused. The `safetensors` crate is the independent witness.

use serde_json::json;

use super::*;

/// A file of `header` and `data` bytes of elements.
pub(super) fn file(header: &str, data: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend((0..data).map(|i| i as u8));
    file
}

pub(super) fn valid() -> Vec<u8> {
    let tensors: [(&str, &[usize], Values); 4] = [
        ("b.bias", &[3], Values::F32(&[1.0, -2.0, 0.5])),
        ("a.weight", &[2, 3], Values::F32(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])),
        ("ids", &[1, 2], Values::I64(&[-1, i64::MAX])),
        ("empty", &[0, 4], Values::F32(&[])),
    ];
    write_safetensors(&tensors).unwrap()
}

/// The message of the error that opening `bytes` gives.
fn refused(bytes: Vec<u8>) -> String {
    match Checkpoint::from_bytes(bytes) {
        Err(error @ (Error::Weights { .. } | Error::Tensor { .. })) => error.to_string(),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[test]
fn checkpoints_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Checkpoint>();
}

#[test]
fn what_is_written_reads_back() {
    let checkpoint = Checkpoint::from_bytes(valid()).unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a.weight", "b.bias", "empty", "ids"]);
    assert_eq!(checkpoint.shape("a.weight").unwrap(), [2, 3]);
    assert_eq!(checkpoint.get("b.bias").unwrap().to_f32(), [1.0, -2.0, 0.5]);
    assert_eq!(checkpoint.get("a.weight").unwrap().to_f32(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(checkpoint.get_i64("ids").unwrap(), (vec![1, 2], vec![-1, i64::MAX]));
    assert!(checkpoint.get("empty").unwrap().is_empty());
}

#[test]
fn the_witness_reads_what_is_written() {
    let bytes = valid();
    let witness = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(witness.tensor("b.bias").unwrap().data(), [1.0f32, -2.0, 0.5].map(f32::to_le_bytes).as_flattened());
    assert_eq!(witness.tensor("ids").unwrap().shape(), [1, 2]);
    // The elements begin aligned for every type.
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(header % 8, 0);
}

#[test]
fn writing_does_not_depend_on_the_order() {
    let (a, b) = (("a", &[1][..], Values::F32(&[1.0])), ("b", &[1][..], Values::I64(&[2])));
    assert_eq!(write_safetensors(&[a, b]).unwrap(), write_safetensors(&[b, a]).unwrap());
    assert!(write_safetensors(&[a, a]).is_err());
    assert!(write_safetensors(&[("a", &[2], Values::F32(&[1.0]))]).is_err());
    assert!(write_safetensors(&[("__metadata__", &[1], Values::F32(&[1.0]))]).is_err());
    assert!(write_safetensors(&[("a", &[usize::MAX, 2], Values::F32(&[1.0]))]).is_err());
}

#[test]
fn all_float_types_convert() {
    let mut bytes = file(
        r#"{"h":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},
            "b":{"dtype":"BF16","shape":[1],"data_offsets":[2,4]},
            "d":{"dtype":"F64","shape":[],"data_offsets":[4,12]},"__metadata__":{"format":"pt"}}"#,
        0,
    );
    bytes.extend(half::f16::from_f32(1.5).to_le_bytes());
    bytes.extend(half::bf16::from_f32(-3.0).to_le_bytes());
    bytes.extend(0.1f64.to_le_bytes());
    let checkpoint = Checkpoint::from_bytes(bytes).unwrap();
    let values = ["h", "b", "d"].map(|name| checkpoint.get(name).unwrap().to_f32()[0]);
    assert_eq!(values, [1.5, -3.0, 0.1]);
    assert_eq!(checkpoint.get("h").unwrap().dtype, DType::F16);
    assert_eq!(checkpoint.get("d").unwrap().shape, [0usize; 0]);
}

#[test]
fn other_types_fail_only_when_asked_for() {
    for (dtype, len) in [("I64", 8), ("I32", 4), ("BOOL", 1), ("U8", 1), ("F4", 3), ("nonsense", 5)] {
        let header = json!({"x": {"dtype": dtype, "shape": [1], "data_offsets": [0, len]}}).to_string();
        let checkpoint = Checkpoint::from_bytes(file(&header, len)).unwrap();
        let error = checkpoint.get("x").unwrap_err().to_string();
        assert!(error.contains("tensor x") && error.contains(dtype), "{error}");
        assert_eq!(checkpoint.get_i64("x").is_ok(), dtype == "I64");
    }
}

#[test]
fn a_missing_tensor_names_near_ones() {
    let checkpoint = Checkpoint::from_bytes(valid()).unwrap();
    let error = checkpoint.get("model.a.weight").unwrap_err().to_string();
    assert!(error.contains("missing") && error.contains("\"a.weight\""), "{error}");
    assert!(checkpoint.get("zzz").unwrap_err().to_string().contains("missing among 4"));
}

#[test]
fn damaged_files_are_refused() {
    let tensor = |fields: &str| format!(r#"{{"x":{{{fields}}}}}"#);
    let cases = [
        (file("", 0), "header is empty"),
        (file("[]", 0), "cannot be read"),
        (file("3", 0), "cannot be read"),
        (file("{", 0), "cannot be read"),
        (file("{} x", 0), "cannot be read"),
        (file(r#"{"x":3}"#, 0), "cannot be read"),
        (file(r#"{"__metadata__":{"a":1}}"#, 0), "cannot be read"),
        (file(&tensor(r#""dtype":"F32","shape":[1]"#), 4), "data_offsets"),
        (file(&tensor(r#""dtype":"F32","shape":[-1],"data_offsets":[0,4]"#), 4), "cannot be read"),
        (file(&tensor(r#""dtype":"F32","shape":[1.0],"data_offsets":[0,4]"#), 4), "cannot be read"),
        (file(&tensor(r#""dtype":"F32","shape":[1],"data_offsets":[0,4,8]"#), 4), "cannot be read"),
        (file(&tensor(r#""dtype":"F32","shape":[1],"data_offsets":[4,0]"#), 4), "before it begins"),
        (file(&tensor(r#""dtype":"F32","shape":[1],"data_offsets":[4,8]"#), 8), "hole"),
        (file(&tensor(r#""dtype":"F32","shape":[2],"data_offsets":[0,8]"#), 4), "the file has 4"),
        (file(&tensor(r#""dtype":"F32","shape":[1],"data_offsets":[0,4]"#), 8), "the file has 8"),
        (file(&tensor(r#""dtype":"F32","shape":[2],"data_offsets":[0,4]"#), 4), "is 8 bytes, it has 4"),
        (file(&tensor(r#""dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]"#), 0), "overflows"),
        (file(&tensor(r#""dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]"#), 4), "it has"),
    ];
    for (bytes, expected) in cases {
        let error = refused(bytes);
        assert!(error.contains(expected) && error.contains("fetch it again"), "{expected}: {error}");
    }
}

#[test]
fn damaged_lengths_are_refused() {
    assert!(refused(vec![]).contains("too few"));
    assert!(refused(vec![1; 7]).contains("too few"));
    assert!(refused(u64::MAX.to_le_bytes().to_vec()).contains("beyond"));
    assert!(refused(100_000_000u64.to_le_bytes().to_vec()).contains("does not fit"));
    let mut invalid_utf8 = file(r#"{"x":1}"#, 0);
    invalid_utf8[10] = 0xff;
    assert!(refused(invalid_utf8).contains("cannot be read"));
    let deep = "[".repeat(100_000);
    assert!(refused(file(&format!(r#"{{"x":{deep}"#), 0)).contains("cannot be read"));
}

#[test]
fn tensors_that_clash_are_refused() {
    let x = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let y = r#"{"dtype":"F32","shape":[1],"data_offsets":[2,6]}"#;
    assert!(refused(file(&format!(r#"{{"x":{x},"x":{x}}}"#), 4)).contains("comes twice"));
    assert!(refused(file(&format!(r#"{{"x":{x},"y":{y}}}"#), 6)).contains("overlaps"));
    let shards = ["one", "two"].map(|name| (name.to_owned(), valid()));
    let error = Checkpoint::from_shards(shards).unwrap_err().to_string();
    assert!(error.contains("comes once more in two"), "{error}");
}

#[test]
fn every_truncation_is_refused() {
    let bytes = valid();
    for len in 0..bytes.len() {
        refused(bytes[..len].to_vec());
    }
}

#[test]
fn host_tensors_check_their_length() {
    assert!(HostTensor::from_f32([2, 2], &[0.0; 3]).is_err());
    assert!(HostTensor::from_f32([usize::MAX, usize::MAX], &[]).is_err());
    assert_eq!(HostTensor::from_f32([2], &[1.0, 2.0]).unwrap().len(), 2);
    let ids = HostTensor::new(DType::U32, vec![1], vec![7, 0, 0, 0]).unwrap();
    assert_eq!(ids.to_f32(), [7.0]);
    assert_eq!(format!("{:>5}", DType::BF16), " bf16");
}
