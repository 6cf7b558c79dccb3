-- Each row is a reason not to begin.
select 'the term NET60 is there already' from payment_terms where code = 'NET60';

select 'approved for ' || :approved || ' suppliers, but there are ' || found.n
from (
  select count(*) n from suppliers s join payment_terms t on t.code = s.term where t.days > 60
) found
where found.n <> :approved;
