//! Prompts, and the completion of their arguments.

use rejoin_local_client::{Client, response};
use serde_json::{Value, json};

use super::connect;

#[tokio::test(start_paused = true)]
async fn prompts_are_listed_and_returned() {
    let client = connect().await;
    let listed = response(client.request(1, "prompts/list", json!({})).await).await;
    let prompts = listed["result"]["prompts"].as_array().unwrap();
    assert_eq!(prompts.len(), 4);
    for (id, prompt) in (2..).zip(prompts) {
        let arguments = prompt["arguments"].as_array().into_iter().flatten();
        let arguments: serde_json::Map<_, _> = arguments
            .map(|argument| (argument["name"].as_str().unwrap().to_owned(), json!("hello")))
            .collect();
        let got = get(&client, id, &prompt["name"], json!(arguments)).await;
        assert_eq!(got["result"]["messages"][0]["role"], "user", "{got}");
    }
    let arguments = json!({ "arg1": "hello", "arg2": "world" });
    let got = get(&client, 6, &json!("test_prompt_with_arguments"), arguments).await;
    let text = &got["result"]["messages"][0]["content"]["text"];
    assert_eq!(text, "Prompt with arguments: arg1='hello', arg2='world'");
}

#[tokio::test(start_paused = true)]
async fn errors_name_the_wrong_prompt_or_argument() {
    let client = connect().await;
    let name = json!("test_prompt_with_arguments");
    let missing = get(&client, 1, &name, json!({ "arg1": "hello" })).await;
    assert_eq!(missing["error"]["code"], -32_602);
    assert_eq!(missing["error"]["message"], "the argument `arg2` must be a string");
    let unknown = get(&client, 2, &json!("x"), json!({})).await;
    assert_eq!(unknown["error"]["message"], "unknown prompt `x`");
}

#[tokio::test(start_paused = true)]
async fn arguments_are_completed() {
    let client = connect().await;
    let prompt = json!({ "type": "ref/prompt", "name": "test_prompt_with_arguments" });
    let template = json!({ "type": "ref/resource", "uri": "test://template/{id}/data" });
    let cases = [
        (&prompt, "arg1", "par", json!(["paris", "park", "party"])),
        (&prompt, "arg2", "x", json!([])),
        (&template, "id", "12", json!(["12", "123"])),
    ];
    for (id, (reference, name, value, values)) in (1..).zip(cases) {
        let completed = complete(&client, id, reference, name, value).await;
        assert_eq!(completed["result"]["completion"]["values"], values);
    }
    let unknown = complete(&client, 4, &prompt, "arg3", "").await;
    assert_eq!(unknown["error"]["message"], "unknown argument `arg3`");
    let nothing = json!({ "type": "ref/prompt", "name": "x" });
    let unknown = complete(&client, 5, &nothing, "arg1", "").await;
    assert_eq!(unknown["error"]["message"], "unknown prompt `x`");
}

async fn get(client: &Client, id: i64, name: &Value, arguments: Value) -> Value {
    let params = json!({ "name": name, "arguments": arguments });
    response(client.request(id, "prompts/get", params).await).await
}

async fn complete(client: &Client, id: i64, of: &Value, name: &str, value: &str) -> Value {
    let params = json!({ "ref": of, "argument": { "name": name, "value": value } });
    response(client.request(id, "completion/complete", params).await).await
}
