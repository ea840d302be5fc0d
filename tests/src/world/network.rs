//! The network: bodies write, clients read, and lines break.

use std::time::Duration;

use rejoin_core::{EndReason, Input};

use super::World;
use super::agenda::{ClientNo, Happening, LineNo, ReadingNo, ServerNo};
use super::faults::Fault;
use super::knobs::Sabotage;
use super::line::{Fate, Line, Pace};

impl World {
    /// Opens a line, and draws what is to become of it.
    pub(super) fn open_line(
        &mut self,
        client: ClientNo,
        server: ServerNo,
        reading: ReadingNo,
    ) -> LineNo {
        let mut line = Line::new((client, server), reading, self.knobs.room);
        let mut breaks = None;
        if let Some(client) = self.clients.get_mut(&client) {
            let (luck, faults) = (&mut client.network, &self.faults);
            if luck.strikes(faults.rate(Fault::CutEarly)) {
                line.fate = Fate::Early;
            } else if luck.strikes(faults.rate(Fault::CutMidway)) {
                line.fate = Fate::After(luck.size(1, 1_200));
            } else if luck.strikes(faults.rate(Fault::CutUnread)) {
                line.fate = Fate::Unread;
            } else if luck.strikes(faults.rate(Fault::HalfOpen)) {
                line.fate = Fate::HalfOpen;
                breaks = Some(luck.millis(1, 4_000));
            } else if luck.strikes(faults.rate(Fault::Deaf)) {
                line.fate = Fate::Deaf;
                breaks = Some(luck.millis(1, 4_000));
            }
            if luck.strikes(faults.rate(Fault::Slow)) {
                line.pace = Pace::Slow;
            } else if luck.strikes(faults.rate(Fault::Stalled)) {
                line.pace = Pace::Stalled;
            }
        }
        let no = self.add_line(line);
        if let Some(delay) = breaks {
            self.later(delay, Happening::Break(no));
        }
        no
    }

    /// Has the body of a response look for more to write.
    pub(super) fn wake_body(&mut self, no: LineNo) {
        let Some(line) = self.lines.get_mut(&no) else {
            return;
        };
        // The answer to the input that began the line comes before it is served.
        if line.has_more() && !line.pulls && line.has_room() {
            line.pulls = true;
            self.later(Duration::from_millis(1), Happening::Pull(no));
        }
    }

    /// Lets the body of a response write.
    pub(super) fn pull(&mut self, no: LineNo) -> Result<(), String> {
        let Some(line) = self.lines.get_mut(&no) else {
            return Ok(());
        };
        line.pulls = false;
        let (Some(connection), true) = (line.connection, line.is_served) else {
            return Ok(());
        };
        let (server, through) = (line.server, line.through);
        let pulled = line.pull();
        let through = pulled.taken.or(through);
        let is_complete = line.ended == Some(EndReason::Complete);
        let is_cut = line.fate == Fate::Unread && pulled.is_over && is_complete;
        let is_cut = is_cut && line.holds_unread() && line.is_read;
        if let (Some(id), Some(server)) = (pulled.id, self.servers.get_mut(server)) {
            server.note_taken(id);
        }
        if pulled.is_over {
            line.is_served = false;
            if let Some(server) = self.servers.get_mut(server) {
                server.lines.remove(&connection);
            }
            let _ = self.tell_server(server, Input::ConnectionClosed { connection, through })?;
        } else if let Some(through) = pulled.taken {
            let _ = self.tell_server(server, Input::Acknowledged { connection, through })?;
        }
        if is_cut {
            self.tally.struck(Fault::CutUnread);
            self.lose_both(no);
            return Ok(());
        }
        self.wake_reader(no);
        Ok(())
    }

    fn wake_reader(&mut self, no: LineNo) {
        let Some(line) = self.lines.get_mut(&no) else {
            return;
        };
        if !line.is_read || line.reads || !line.is_readable() {
            return;
        }
        line.reads = true;
        let delay = match (line.pace, self.clients.get_mut(&line.client)) {
            (Pace::Slow, Some(client)) => client.network.millis(20, 600),
            (Pace::Stalled, Some(client)) => client.network.millis(500, 60_000),
            (_, Some(client)) => client.network.millis(0, 3),
            (_, None) => Duration::ZERO,
        };
        self.later(delay, Happening::Read(no));
    }

    /// Lets a client read.
    pub(super) fn read(&mut self, no: LineNo) -> Result<(), String> {
        let Some(line) = self.lines.get_mut(&no) else {
            return Ok(());
        };
        line.reads = false;
        if !line.is_read {
            return Ok(());
        }
        let mut bytes = match (line.pace, self.clients.get_mut(&line.client)) {
            (Pace::Slow | Pace::Stalled, Some(client)) => client.network.size(1, 400),
            _ => usize::MAX,
        };
        let mut is_cut = false;
        if let Fate::After(end) = line.fate {
            let left = end.saturating_sub(line.bytes_read());
            bytes = bytes.min(left);
            is_cut = bytes == left;
        }
        let items = line.read(bytes);
        is_cut &= matches!(line.fate, Fate::After(end) if line.bytes_read() >= end);
        let (is_midway, is_finished) = (line.is_midway(), line.is_finished() && !is_cut);
        match line.pace {
            Pace::Slow if line.is_readable() => self.tally.struck(Fault::Slow),
            Pace::Stalled => self.tally.struck(Fault::Stalled),
            Pace::Slow | Pace::Quick => {}
        }
        self.suspect = Some(line.server);
        for item in items {
            self.receive(no, item)?;
        }
        if is_cut {
            self.tally.add(if is_midway {
                Fault::CutMidway.name()
            } else {
                "drops: between two events"
            });
            self.lose_both(no);
        } else if is_finished {
            self.end_reading(no, true)?;
        } else {
            self.wake_reader(no);
        }
        self.wake_body(no);
        Ok(())
    }

    /// Breaks a line so that both sides hear of it.
    pub(super) fn lose_both(&mut self, no: LineNo) {
        self.lose_pipe(no);
        self.later(Duration::ZERO, Happening::Lost(no));
        self.hang_up(no);
    }

    /// Lets the server hear, by and by, that a client has gone.
    pub(super) fn hang_up(&mut self, no: LineNo) {
        let Some(line) = self.lines.get(&no) else {
            return;
        };
        let client = self.clients.get_mut(&line.client);
        let delay = client.map_or(Duration::ZERO, |client| client.network.millis(0, 20));
        self.later(delay, Happening::Noticed(no));
    }

    /// Loses what was written and not read.
    pub(super) fn lose_pipe(&mut self, no: LineNo) {
        if let Some(line) = self.lines.get_mut(&no) {
            line.lose();
        }
    }

    /// Breaks a line so that only one side hears of it.
    pub(super) fn break_line(&mut self, no: LineNo) -> Result<(), String> {
        let keep_alive = self.knobs.keep_alive;
        let Some(line) = self.lines.get_mut(&no) else {
            return Ok(());
        };
        if !line.is_read {
            return Ok(());
        }
        match line.fate {
            Fate::HalfOpen => {
                self.tally.struck(Fault::HalfOpen);
                self.end_reading(no, false)?;
                // The first sign of life is answered by a reset, at the latest the second.
                self.later(keep_alive + keep_alive / 2, Happening::Noticed(no));
            }
            Fate::Deaf => {
                self.tally.struck(Fault::Deaf);
                self.lose_pipe(no);
                self.hang_up(no);
                // No sign of life comes any more.
                self.later(2 * keep_alive, Happening::Lost(no));
            }
            // A line that was opened for no reason.
            Fate::Sound | Fate::Early | Fate::After(_) | Fate::Unread => self.drop_stray(no)?,
        }
        Ok(())
    }

    /// Lets a server hear that a connection is gone.
    pub(super) fn notice(&mut self, no: LineNo) -> Result<(), String> {
        let Some(line) = self.lines.get_mut(&no) else {
            return Ok(());
        };
        let (Some(connection), true) = (line.connection, line.is_served) else {
            return Ok(());
        };
        let (server, through) = (line.server, line.through);
        line.is_served = false;
        if let Some(server) = self.servers.get_mut(server) {
            server.lines.remove(&connection);
        }
        if self.knobs.sabotage == Some(Sabotage::Leaks) {
            return Ok(());
        }
        self.tell_server(server, Input::ConnectionClosed { connection, through }).map(|_| ())
    }

    /// Lets a client hear that a connection is gone.
    pub(super) fn lose(&mut self, no: LineNo) -> Result<(), String> {
        if self.lines.get(&no).is_some_and(|line| line.is_read) {
            self.lose_pipe(no);
            self.end_reading(no, false)?;
            self.hang_up(no);
        }
        Ok(())
    }

    /// Lets nothing go wrong with lines any more, beyond what has gone wrong.
    pub(super) fn heal_lines(&mut self) {
        let lines: Vec<LineNo> = self.lines.keys().copied().collect();
        for no in lines {
            if let Some(line) = self.lines.get_mut(&no) {
                line.fate = Fate::Sound;
                line.pace = Pace::Quick;
                line.reads = false;
            }
            self.wake_reader(no);
        }
    }
}
