-- ## What the rest is computed from
-- Everything follows from a number and a word: the same fill twice is the same world, but for the moment it ends at.
CREATE SCHEMA filling;

CREATE FUNCTION filling.chance(n bigint, about text) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (hashint8extended(n, hashtextextended(about, 4)) & 1073741823) / 1073741824.0::float8;

-- A number from 1 to `many`; the small ones are drawn more often the larger `lean` is.
CREATE FUNCTION filling.draw(n bigint, about text, many int, lean float8 = 1) RETURNS int LANGUAGE sql IMMUTABLE
    RETURN 1 + floor(many * power(filling.chance(n, about), lean))::int;

CREATE FUNCTION filling.pick(n bigint, about text, words text[]) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN words[filling.draw(n, about, cardinality(words))];

-- A UUIDv7 of that moment.
CREATE FUNCTION filling.id(at timestamptz, n bigint, about text) RETURNS uuid LANGUAGE sql STABLE
    RETURN overlay(overlay(overlay(md5(about || n) PLACING lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
        FROM 1) PLACING '7' FROM 13) PLACING 'a' FROM 17)::uuid;

CREATE FUNCTION filling.minutes(n bigint, about text, low float8, high float8) RETURNS interval LANGUAGE sql IMMUTABLE
    RETURN (low + (high - low) * filling.chance(n, about)) * interval '1 minute';

-- How large, from when to when; written by the command.
CREATE TABLE filling.world (
    tasks int, campaigns int, agents int, people int, texts int, began timestamptz, ended timestamptz,
    first int, last int  -- of the tasks that are written now
);
CREATE TABLE filling.content (number int PRIMARY KEY, ref text, sha256 text, words int);

-- When task n was planned: more and more of them, to the last minute.
CREATE FUNCTION filling.moment(n bigint) RETURNS timestamptz LANGUAGE sql STABLE
    RETURN (SELECT began + (ended - began) * power(n / tasks::float8, 0.7) FROM filling.world);
