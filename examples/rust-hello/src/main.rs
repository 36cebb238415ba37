//! A Rust handler with AWS's own crate, for provided.al2023.

use lambda_runtime::{run, service_fn, Error, LambdaEvent};
use serde::Deserialize;
use serde_json::{json, Value};

#[derive(Deserialize)]
struct Event {
    name: String,
    #[serde(default)]
    fail: bool,
}

async fn handler(event: LambdaEvent<Event>) -> Result<Value, Error> {
    let (event, context) = event.into_parts();
    if event.fail {
        return Err("asked to fail".into());
    }
    println!("greeting {}", event.name);
    Ok(json!({
        "greeting": format!("Hello, {}!", event.name),
        "function": context.env_config.function_name,
        "requestId": context.request_id,
    }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(handler)).await
}
