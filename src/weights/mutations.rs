//! Property tests: a valid file, changed anywhere, gives an error or what the `safetensors` crate reads.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Checkpoint;
use super::tests::{file, valid};

/// Whatever opens gives tensors that are as long as they say, and what the witness says.
fn sound(bytes: Vec<u8>) {
    let witness = ::safetensors::SafeTensors::deserialize(&bytes);
    let Ok(checkpoint) = Checkpoint::from_bytes(bytes.clone()) else {
        return;
    };
    for name in checkpoint.names() {
        let shape = checkpoint.shape(name).unwrap();
        let (Ok(tensor), Ok(witness)) = (checkpoint.get(name), &witness) else {
            continue;
        };
        let other = witness.tensor(name).unwrap();
        assert_eq!((tensor.shape.as_slice(), other.shape()), (shape, shape));
        if other.dtype() != ::safetensors::Dtype::F64 {
            assert_eq!(tensor.bytes(), other.data());
        }
    }
    // Only a type that the witness does not know may be all that it minds.
    if let Err(error) = witness {
        let message = error.to_string();
        assert!(message.contains("unknown variant"), "accepted what the witness refuses: {message}");
    }
}

/// Values that a field of a header may be changed to.
fn values() -> impl Strategy<Value = Value> {
    let texts = prop_oneof!["F32", "F16", "F64", "I64", "I32", "BOOL", "Q9", ""];
    let numbers = prop_oneof![0..64u64, Just(u64::MAX), Just(1 << 63), any::<u64>()];
    let lists = prop::collection::vec(numbers.clone(), 0..4);
    prop_oneof![
        texts.prop_map(Value::from),
        numbers.prop_map(Value::from),
        lists.prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-9i64..0).prop_map(Value::from),
        Just(Value::Null),
        Just(json!({})),
    ]
}

proptest! {
    #[test]
    fn changed_bytes_never_panic(at in 0usize..400, to in any::<u8>()) {
        let mut bytes = valid();
        let len = bytes.len();
        bytes[at % len] = to;
        sound(bytes);
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), header in ".{0,64}") {
        sound(bytes.clone());
        sound(file(&header, bytes.len()));
    }

    #[test]
    fn changed_fields_never_panic(
        name in prop_oneof!["a.weight", "b.bias", "ids", "empty", "other", "__metadata__"],
        field in prop_oneof!["dtype", "shape", "data_offsets", "other"],
        value in values(),
        whole in any::<bool>(),
    ) {
        let bytes = valid();
        let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut header: Value = serde_json::from_slice(&bytes[8..end]).unwrap();
        match (whole, header[&name].is_object()) {
            (false, true) => header[&name][&field] = value,
            _ => header[&name] = value,
        }
        let mut changed = file(&header.to_string(), 0);
        changed.extend(&bytes[end..]);
        sound(changed);
    }
}
