//! YAML for people who prefer it to JSON: the same documents.

use serde::Serialize;
use serde_json::Value;
use yaml_rust2::yaml::Hash;
use yaml_rust2::{Yaml, YamlEmitter, YamlLoader};

/// A document cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum YamlError {
    #[error("this is neither YAML nor JSON: {0}")]
    Syntax(#[from] yaml_rust2::ScanError),
    #[error("there is no document")]
    Empty,
    #[error("this says something that JSON cannot: {0}")]
    Value(String),
}

/// `answer` as a YAML document, with the newline at its end.
pub(crate) fn to_yaml(answer: &impl Serialize) -> std::io::Result<String> {
    let value = serde_json::to_value(answer)?;
    let mut text = String::new();
    let emitted = YamlEmitter::new(&mut text).dump(&from_json(&value));
    emitted.map_err(|error| std::io::Error::other(format!("{error:?}")))?;
    // One document needs no mark where it begins.
    let text = text.strip_prefix("---\n").unwrap_or(&text);
    Ok(format!("{text}\n"))
}

fn from_json(value: &Value) -> Yaml {
    match value {
        Value::Null => Yaml::Null,
        Value::Bool(value) => Yaml::Boolean(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Yaml::Integer(number),
            None => Yaml::Real(number.to_string()),
        },
        Value::String(text) => Yaml::String(text.clone()),
        Value::Array(items) => Yaml::Array(items.iter().map(from_json).collect()),
        Value::Object(members) => {
            let members = members.iter();
            let pairs = members.map(|(key, value)| (Yaml::String(key.clone()), from_json(value)));
            Yaml::Hash(pairs.collect::<Hash>())
        }
    }
}

/// The first document of a text in YAML, of which JSON is a part.
pub(crate) fn from_yaml(text: &str) -> Result<Value, YamlError> {
    let documents = YamlLoader::load_from_str(text)?;
    to_json(documents.first().ok_or(YamlError::Empty)?)
}

fn to_json(yaml: &Yaml) -> Result<Value, YamlError> {
    Ok(match yaml {
        Yaml::Null => Value::Null,
        Yaml::Boolean(value) => Value::Bool(*value),
        Yaml::Integer(number) => Value::from(*number),
        Yaml::Real(text) => {
            let number: Option<f64> = text.parse().ok();
            number.map_or_else(|| Value::from(text.clone()), Value::from)
        }
        Yaml::String(text) => Value::from(text.clone()),
        Yaml::Array(items) => Value::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        Yaml::Hash(members) => {
            let pair = |(key, value): (&Yaml, &Yaml)| match key.as_str() {
                Some(key) => Ok((key.to_owned(), to_json(value)?)),
                None => Err(YamlError::Value(format!("a key that is no text: {key:?}"))),
            };
            Value::Object(members.iter().map(pair).collect::<Result<_, _>>()?)
        }
        other => return Err(YamlError::Value(format!("{other:?}"))),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_come_back_as_they_were() {
        let value = json!({"a": [1, true, null, "yes", "1.5", "x: y"], "b": {}, "c": {"d": ""}});
        let text = to_yaml(&value).unwrap();
        assert_eq!(from_yaml(&text).unwrap(), value, "{text}");
        assert_eq!(from_yaml(&value.to_string()).unwrap(), value);
        assert!(text.starts_with("a:\n"), "{text}");
        for bad in ["", "a: [", "{1: 2}"] {
            assert!(from_yaml(bad).is_err(), "{bad:?}");
        }
    }
}
