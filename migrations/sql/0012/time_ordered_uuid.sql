-- A uuid v7 (RFC 9562) of this moment, to the microsecond: ids that are made one after the other sort in that order.
create or replace function time_ordered_uuid() returns uuid language sql volatile as $$
  select (lpad(to_hex(microseconds / 1000), 12, '0') || '7' || lpad(to_hex(microseconds % 1000 * 4096 / 1000), 3, '0')
    || right(replace(gen_random_uuid()::text, '-', ''), 16))::uuid
  from (select (extract(epoch from clock_timestamp()) * 1000000)::bigint as microseconds) clock
$$;
