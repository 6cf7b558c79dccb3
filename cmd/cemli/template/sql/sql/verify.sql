-- Each row is something that is not as it should be.
select 'the code 4711 is there ' || found.n || ' times'
from (select count(*) n from ledger_codes where code = '4711' and name = 'Travel') found
where found.n <> 1;
