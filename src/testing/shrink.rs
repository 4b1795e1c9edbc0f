//! Shrinks a failing schedule, and enumerates schedules. Both work on scripts: the numbers of what
//! was chosen, 0 for what an undisturbed worker does.

use crate::simulation::{Choice, Kind};

/// Returns the script that repeats these choices.
pub(super) fn script_of(choices: &[Choice]) -> Vec<u32> {
    let mut script: Vec<u32> = choices.iter().map(|choice| choice.chosen).collect();
    trim(&mut script);
    script
}

/// Removes the zeros at the end, which mean nothing.
fn trim(script: &mut Vec<u32>) {
    while script.last() == Some(&0) {
        script.pop();
    }
}

/// Makes a failing script simpler as long as `try_script` finds that the simpler one still fails;
/// it returns the script that was really run, or `None`, and is called until `may_go_on` is false.
pub(super) fn shrink(
    mut script: Vec<u32>,
    mut try_script: impl FnMut(&[u32]) -> Option<Vec<u32>>,
    mut may_go_on: impl FnMut() -> bool,
) -> Vec<u32> {
    loop {
        let before = script.clone();
        // Of the choices that are not 0, all of a piece are set to 0: large pieces first, those at
        // the end first, because later choices depend on earlier ones.
        let count = |script: &[u32]| script.iter().filter(|&&chosen| chosen != 0).count();
        let mut piece = count(&script);
        while piece > 0 {
            let mut end = count(&script);
            while end > 0 && may_go_on() {
                let simpler = without(&script, end.saturating_sub(piece), end);
                end = end.saturating_sub(piece);
                if let Some(run) = try_script(&simpler)
                    && is_simpler(&run, &script)
                {
                    script = run;
                    end = end.min(count(&script));
                }
            }
            piece /= 2;
        }
        for index in 0..script.len() {
            if script.get(index).is_some_and(|&chosen| chosen > 1) && may_go_on() {
                let mut simpler = script.clone();
                simpler[index] = 1;
                if let Some(run) = try_script(&simpler)
                    && is_simpler(&run, &script)
                {
                    script = run;
                }
            }
        }
        if script == before || !may_go_on() {
            return script;
        }
    }
}

/// Returns whether `one` deviates less often from an undisturbed run, or as often and by less.
fn is_simpler(one: &[u32], other: &[u32]) -> bool {
    let weight = |script: &[u32]| {
        let deviations = script.iter().filter(|&&chosen| chosen != 0).count();
        let sum: u64 = script.iter().map(|&chosen| u64::from(chosen)).sum();
        (deviations, sum, script.len())
    };
    weight(one) < weight(other)
}

/// Returns the script with 0 in place of its choices number `from` to `to` that are not 0.
fn without(script: &[u32], from: usize, to: usize) -> Vec<u32> {
    let mut simpler = script.to_vec();
    let deviations = simpler.iter_mut().filter(|chosen| **chosen != 0);
    for chosen in deviations.skip(from).take(to - from) {
        *chosen = 0;
    }
    trim(&mut simpler);
    simpler
}

/// Returns the script of the next schedule, depth first, after a run that made these choices: the
/// last choice that has a further possibility takes it. A schedule interrupts threads that could go
/// on at most `most_switches` times. `None`: there is no further schedule.
pub(super) fn next_script(choices: &[Choice], most_switches: u32) -> Option<Vec<u32>> {
    let mut switches = choices.iter().filter(|choice| is_switch(choice)).count();
    for (index, choice) in choices.iter().enumerate().rev() {
        switches -= usize::from(is_switch(choice));
        let may_deviate = choice.kind != Kind::Switch || switches < most_switches as usize;
        if choice.chosen + 1 < choice.count && may_deviate {
            let mut script: Vec<u32> = (choices[..index].iter())
                .map(|choice| choice.chosen)
                .collect();
            script.push(choice.chosen + 1);
            return Some(script);
        }
    }
    None
}

fn is_switch(choice: &Choice) -> bool {
    choice.kind == Kind::Switch && choice.chosen != 0
}

/// Writes a script so that an environment variable can hold it: "12:1,40:2" says that choice 12 is
/// 1, choice 40 is 2, and all others are 0.
pub(super) fn write_script(script: &[u32]) -> String {
    let deviations = script
        .iter()
        .enumerate()
        .filter(|(_, chosen)| **chosen != 0);
    let texts: Vec<_> = deviations
        .map(|(index, chosen)| format!("{index}:{chosen}"))
        .collect();
    match texts.is_empty() {
        true => "none".to_owned(),
        false => texts.join(","),
    }
}

/// Reads what [`write_script`] has written.
pub(super) fn read_script(text: &str) -> Option<Vec<u32>> {
    let mut script = Vec::new();
    if text == "none" {
        return Some(script);
    }
    for deviation in text.split(',') {
        let (index, chosen) = deviation.trim().split_once(':')?;
        let index: u32 = index.parse().ok()?;
        let index = index as usize;
        if script.len() <= index {
            script.resize(index + 1, 0);
        }
        script[index] = chosen.parse().ok()?;
    }
    Some(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(kind: Kind, count: u32, chosen: u32) -> Choice {
        Choice {
            kind,
            count,
            chosen,
            thread: 1,
            next: 1,
            at: None,
        }
    }

    #[test]
    fn script_is_shrunk_to_the_choices_that_matter() {
        let script: Vec<u32> = (0..200).map(|index| index % 4).collect();
        let mut runs = 0;
        let shrunk = shrink(
            script,
            |script| {
                runs += 1;
                let fails = script.get(17).is_some_and(|&chosen| chosen > 0)
                    && script.get(150).is_some_and(|&chosen| chosen > 0);
                fails.then(|| script.to_vec())
            },
            || true,
        );
        let mut expected = vec![0; 151];
        expected[17] = 1;
        expected[150] = 1;
        assert_eq!(shrunk, expected);
        assert!(runs < 300, "{runs}");
    }

    #[test]
    fn script_survives_the_environment() {
        let script = vec![0, 0, 3, 0, 1];
        assert_eq!(write_script(&script), "2:3,4:1");
        assert_eq!(read_script("2:3,4:1"), Some(script));
        assert_eq!(read_script(&write_script(&[])), Some(Vec::new()));
        assert_eq!(read_script("2"), None);
        assert_eq!(read_script("99999999999:1"), None);
    }

    #[test]
    fn schedules_are_enumerated_within_the_bound() {
        // Three choices between two, all switches: with at most one switch there are four.
        let mut script = Vec::new();
        let mut seen = Vec::new();
        loop {
            let run: Vec<u32> = (0..3)
                .map(|index| script.get(index).copied().unwrap_or(0))
                .collect();
            let choices: Vec<Choice> = (run.iter())
                .map(|&chosen| choice(Kind::Switch, 2, chosen))
                .collect();
            seen.push(run);
            match next_script(&choices, 1) {
                Some(next) => script = next,
                None => break,
            }
        }
        let expected = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]];
        assert_eq!(seen, expected);
    }
}
