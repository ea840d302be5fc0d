//! A macro for configurations that differ from others in a few values.

/// Returns a configuration with these values, and otherwise the defaults or those of `..base`:
/// `config! { window_events_max: 1, ..base }`.
#[macro_export]
macro_rules! config {
    ($($field:ident $(: $value:expr)?),+ $(,)?) => {
        $crate::config! { $($field $(: $value)?,)+ ..rejoin_core::Config::default() }
    };
    ($($field:ident $(: $value:expr)?,)+ ..$base:expr) => {{
        let mut config = $base;
        $({
            $(let $field = $value;)?
            config.$field = $field;
        })+
        config
    }};
}
