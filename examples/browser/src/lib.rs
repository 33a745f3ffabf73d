//! wgformer in a web page: the page's WebGPU device, the library as it is everywhere else.
//!
//! `cargo xtask test --all` builds it and runs it in headless Chromium; by hand, with the `wasm-bindgen` of the version in
//! Cargo.lock:
//!
//! ```text
//! cargo build --release --package wgformer-browser --target wasm32-unknown-unknown
//! wasm-bindgen --target web --out-dir examples/browser/pkg target/wasm32-unknown-unknown/release/wgformer_browser.wasm
//! python3 -m http.server --directory examples/browser        # then open http://localhost:8000
//! ```
#![cfg(target_arch = "wasm32")]

use wasm_bindgen::prelude::*;
use wgformer::Context;
use wgformer::model::{Files, Model, Padded};

/// What a page has of the library.
#[wasm_bindgen]
pub struct Page {
    gpu: Context,
}

#[wasm_bindgen]
impl Page {
    /// Opens the browser's adapter, with what the library asks for.
    pub async fn open() -> Result<Page, JsError> {
        let instance = wgpu::Instance::default();
        let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default()).await?;
        let (required_features, required_limits) = wgformer::wanted(&adapter);
        let descriptor = wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
        let (device, queue) = adapter.request_device(&descriptor).await?;
        Ok(Self { gpu: Context::new(&device, &queue)? })
    }

    /// Every kernel of the ops whose names contain `filter`, against the reference on the CPU: the report, as JSON.
    pub async fn verify(&self, filter: &str) -> Result<String, JsError> {
        let report = wgformer::verify::verify_ops(&self.gpu, Some(filter), &mut |_| {}).await?;
        Ok(serde_json::to_string(&report)?)
    }

    /// The last hidden states of an encoder, `[batch, len, width]`, from the bytes of its `config.json` and
    /// `model.safetensors`, for a padded batch of ids, its mask and its token types, each `[batch, len]`.
    pub async fn encode(
        &self,
        config: String,
        weights: Vec<u8>,
        batch: usize,
        ids: Vec<i64>,
        mask: Vec<i64>,
        types: Vec<i64>,
    ) -> Result<Vec<f32>, JsError> {
        let texts = [("config.json".to_owned(), config)].into();
        let weights = vec![("model.safetensors".to_owned(), weights)];
        let model = Model::from_bytes(&self.gpu, Files { texts, weights, ..Files::default() }).await?;
        let len = ids.len() / batch.max(1);
        let batch = Padded { batch, len, ids, mask, types };
        Ok(model.encode(&batch, false).await?.last_hidden_state)
    }
}
