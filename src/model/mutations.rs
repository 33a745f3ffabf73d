//! Property tests: a valid configuration, changed anywhere, gives an error or a sane architecture.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::config::Config;
use super::tests::{arch, checkpoint, read, small};

/// Values that a key may be changed to.
pub(super) fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..2000u64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop_oneof!["gelu", "relu", "mean", "absolute", "bert", "../x", "\u{1F980}{70}"].prop_map(Value::from),
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
        Just(json!(["mean", "cls"])),
    ]
}

proptest! {
    #[test]
    fn changed_configurations_never_panic(key in 0usize..14, value in values()) {
        let mut config = small();
        let key = config.as_object().unwrap().keys().nth(key).cloned().unwrap_or("other".into());
        config[&key] = value;
        if let Ok(arch) = read(&config) {
            let stack = arch.encoder.unwrap();
            prop_assert_eq!(stack.heads * stack.head_dim, stack.width);
            prop_assert!(stack.layers <= 1024 && stack.norm.eps >= 0.0 && stack.scale.is_finite());
        }
    }

    #[test]
    fn changed_text_never_panics(at in 0usize..400, to in any::<char>()) {
        let text: Vec<char> = small().to_string().chars().collect();
        let changed = text.iter().enumerate().map(|(i, &c)| if i == at % text.len() { to } else { c });
        let _ = Config::parse("config.json", &changed.collect::<String>()).map(|config| arch(&config, &checkpoint("", false, true)));
    }
}
