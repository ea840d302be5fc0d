//! Test functions in source files.

use std::ops::Range;

/// Returns the lines of a test function, from its attributes to its closing brace. The first line
/// of a file is 0.
pub(crate) fn lines(source: &str, name: &str) -> Range<usize> {
    let lines: Vec<&str> = source.lines().collect();
    let declarations = lines.iter().enumerate().filter(|(_, line)| declares(line, name));
    let [(declaration, line)] = declarations.collect::<Vec<_>>()[..] else {
        panic!("no function or several have the name {name}");
    };

    let before = lines.iter().take(declaration).rev();
    let attributes = before.take_while(|line| is_attribute_or_comment(line)).count();
    let start = declaration - attributes;
    let mut attributes = lines.iter().take(declaration).skip(start);
    assert!(attributes.any(|line| line.contains("test")), "{name} has no attribute of a test");

    let indentation = line.len() - line.trim_start().len();
    let brace = format!("{}}}", " ".repeat(indentation));
    let length = lines.iter().skip(declaration).position(|line| *line == brace);
    let length = length.unwrap_or_else(|| panic!("{name} has no closing brace"));
    start..declaration + length + 1
}

/// Returns the file without some of its lines. All other bytes stay as they are.
pub(crate) fn cut(source: &str, lines: &[Range<usize>]) -> String {
    let all = source.split_inclusive('\n').enumerate();
    let kept = all.filter(|(line, _)| !lines.iter().any(|cut| cut.contains(line)));
    kept.map(|(_, text)| text).collect()
}

fn declares(line: &str, name: &str) -> bool {
    let line = line.trim_start();
    let line = line.strip_prefix("async ").unwrap_or(line);
    let rest = line.strip_prefix("fn ").and_then(|line| line.strip_prefix(name));
    rest.is_some_and(|rest| rest.starts_with('('))
}

fn is_attribute_or_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("#[") || line.starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
        use a;\n\
        #[test]\n\
        fn first() {}\n\
        \n\
        // Second.\r\n\
        /// Second.\n\
        #[tokio::test]\n\
        async fn second() {\n\
        \x20   if true {\n\
        \x20   }\n\
        \x20   second_of_all()\n\
        }\n\
        \n\
        fn second_of_all() {\n\
        }";

    #[test]
    fn function_is_cut_with_its_attributes_and_nothing_else() {
        let second = lines(SOURCE, "second");
        assert_eq!(second, 4..12);
        let rest = "use a;\n#[test]\nfn first() {}\n\n\nfn second_of_all() {\n}";
        assert_eq!(cut(SOURCE, &[second]), rest);
        assert_eq!(cut(SOURCE, &[]), SOURCE);
    }

    #[test]
    fn indented_function_ends_at_the_brace_of_its_indentation() {
        let source = "mod a {\n    #[test]\n    fn b() {\n        {\n        }\n    }\n}\n";
        assert_eq!(lines(source, "b"), 1..6);
    }

    #[test]
    #[should_panic(expected = "second_of_all has no attribute of a test")]
    fn function_that_is_not_a_test_is_refused() {
        lines(SOURCE, "second_of_all");
    }
}
