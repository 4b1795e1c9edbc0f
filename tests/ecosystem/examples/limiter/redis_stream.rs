//! A connection of the crate redis over a socket of rustlet: all commands of the crate's blocking
//! interface work on it.

use std::io::Write;

use redis::{ConnectionLike, Parser, RedisError, RedisResult, Value};
use rustlet::net::{TcpStream, ToSocketAddrs};
use rustlet::pool::Manager;

pub(crate) struct Connection {
    stream: TcpStream,
    /// Holds bytes that were received after the end of an answer.
    parser: Parser,
    /// Whether each answer has been received whole. After an error or a cancelled call, the next
    /// answer would be taken for that of another command.
    is_open: bool,
}

impl Connection {
    pub(crate) fn open(address: impl ToSocketAddrs) -> RedisResult<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            parser: Parser::new(),
            is_open: true,
        })
    }

    /// Sends commands and receives `count` answers.
    fn exchange(&mut self, commands: &[u8], count: usize) -> RedisResult<Vec<Value>> {
        if !self.is_open {
            return Err(RedisError::from(std::io::Error::other(
                "the connection was broken",
            )));
        }
        self.is_open = false;
        self.stream.write_all(commands)?;
        let mut answers = Vec::with_capacity(count);
        while answers.len() < count {
            match self.parser.parse_value(&self.stream)? {
                Value::Push { .. } => {}
                answer => answers.push(answer),
            }
        }
        self.is_open = true;
        Ok(answers)
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command(&mut self, command: &[u8]) -> RedisResult<Value> {
        Ok(self.exchange(command, 1)?.remove(0))
    }

    /// The first `offset` answers acknowledge the commands of a transaction.
    fn req_packed_commands(
        &mut self,
        commands: &[u8],
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let answers = self.exchange(commands, offset + count)?;
        let (acknowledged, answers) = answers.split_at(offset);
        for answer in acknowledged {
            answer.clone().extract_error()?;
        }
        Ok(answers.to_vec())
    }

    fn get_db(&self) -> i64 {
        0
    }

    fn check_connection(&mut self) -> bool {
        redis::cmd("PING").exec(self).is_ok()
    }

    fn is_open(&self) -> bool {
        self.is_open
    }
}

/// Opens the connections of a pool to the address.
pub(crate) struct Connect(pub(crate) String);

impl Manager for Connect {
    type Item = Connection;
    type Error = RedisError;

    fn create(&self) -> RedisResult<Connection> {
        Connection::open(self.0.as_str())
    }

    fn is_valid(&self, connection: &mut Connection) -> RedisResult<()> {
        redis::cmd("PING").exec(connection)
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        !connection.is_open
    }
}
