//! Completion of prompt and resource template arguments.

use rmcp::{
    ErrorData,
    model::{CompleteRequestParams, CompleteResult, CompletionInfo, Reference},
};

use super::{
    prompts::{self, FIRST, SECOND, WITH_ARGUMENTS},
    resources::{self, TEMPLATE},
};

const WORDS: [&str; 4] = ["paris", "park", "party", "test"];
const IDS: [&str; 3] = ["1", "12", "123"];

pub(super) fn complete(request: &CompleteRequestParams) -> Result<CompleteResult, ErrorData> {
    let argument = &request.argument;
    let known: &[&str] = match (&request.r#ref, argument.name.as_str()) {
        (Reference::Prompt(prompt), FIRST | SECOND) if prompt.name == WITH_ARGUMENTS => &WORDS,
        (Reference::Resource(resource), "id") if resource.uri == TEMPLATE => &IDS,
        (Reference::Prompt(prompt), _) if prompts::list().iter().any(|p| p.name == prompt.name) => {
            return Err(unknown(&argument.name));
        }
        (Reference::Prompt(prompt), _) => return Err(prompts::not_found(&prompt.name)),
        (Reference::Resource(resource), _) if resource.uri == TEMPLATE => {
            return Err(unknown(&argument.name));
        }
        (Reference::Resource(resource), _) => return Err(resources::not_found(&resource.uri)),
        (_, name) => return Err(unknown(name)),
    };
    let matching = known.iter().filter(|word| word.starts_with(&argument.value));
    let values = matching.map(|&word| word.to_owned()).collect();
    let info = CompletionInfo::with_all_values(values);
    info.map(CompleteResult::new).map_err(|error| ErrorData::internal_error(error, None))
}

fn unknown(argument: &str) -> ErrorData {
    ErrorData::invalid_params(format!("unknown argument `{argument}`"), None)
}
